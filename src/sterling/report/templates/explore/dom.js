// Elements of the page and what they say.

export const $ = (id) => document.getElementById(id);

/** Write a text where it is not there yet. */
export function put(id, text) {
  const place = $(id);
  if (place.textContent !== text) place.textContent = text;
}

/** Say what a canvas shows to those who do not see it. */
export function describe(canvas, text) {
  if (canvas.getAttribute("aria-label") !== text) canvas.setAttribute("aria-label", text);
}
