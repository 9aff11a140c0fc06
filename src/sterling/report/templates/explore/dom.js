// Elements of the page and their texts.

export const $ = (id) => document.getElementById(id);

/** Set the text of an element if it differs. */
export function put(id, text) {
  const element = $(id);
  if (element.textContent !== text) element.textContent = text;
}

/** Set the label of a canvas for screen readers. */
export function describe(canvas, text) {
  if (canvas.getAttribute("aria-label") !== text) canvas.setAttribute("aria-label", text);
}
