// Pointers on pictures: dragging, and the weight that the reader points at. Each picture that shows weights marks it.

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

/** Let a canvas be dragged on: `take(x, y)` says whether something is there, `drag(x, y)` moves it, `drop()` lets go. */
export function dragOn(canvas, take, drag, drop) {
  let from = null, moved = false;
  canvas.addEventListener("pointerdown", (event) => {
    const at = pointerOn(canvas, event);
    if (!take(...at)) return;
    from = at;
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = pointerOn(canvas, event);
    if (from && Math.hypot(x - from[0], y - from[1]) > 2) moved = true;
    if (moved) drag(x, y);
  });
  canvas.addEventListener("lostpointercapture", () => {
    if (moved) drop();
    [from, moved] = [null, false];
  });
}
