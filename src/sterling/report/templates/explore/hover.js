// Which weight the reader points at. Each picture that shows weights sets it, and marks it.

let pointed = -1;
const listeners = [];

/** The weight that is pointed at; −1 for none. */
export const hovered = () => pointed;

export function hover(k) {
  if (k === pointed) return;
  pointed = k;
  for (const tell of listeners) tell();
}

export const whenHovered = (tell) => listeners.push(tell);

/** Where a pointer is on a canvas, in CSS pixels. */
export function pointerOn(canvas, event) {
  const { left, top } = canvas.getBoundingClientRect();
  return [event.clientX - left, event.clientY - top];
}

/** Let a canvas set the weight: `at(x, y)` says which one is there. */
export function hoverOn(canvas, at) {
  canvas.addEventListener("pointermove", (event) => hover(at(...pointerOn(canvas, event))));
  canvas.addEventListener("pointerleave", () => hover(-1));
}
