// A canvas that is as sharp as the screen, and the colours of the page's scheme.

const NAMES = ["ink", "quiet", "line", "surface", "shade", "blue", "vermillion", "amber", "purple", "grey", "band"];
const FONT = 0.8125;  // of the page's size of type
const FAMILY = 'system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif';
let colours = null;

/** Colours of the style sheet by name; they change with the scheme. */
export function palette() {
  if (!colours) {
    const probe = document.body.appendChild(document.createElement("i"));
    colours = Object.fromEntries(NAMES.map((name) => {
      probe.style.color = `var(--${name})`;
      return [name, getComputedStyle(probe).color];
    }));
    probe.remove();
  }
  return colours;
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  colours = null;
});

const sizes = new WeakMap(), fitted = new WeakMap();
const watcher = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) sizes.set(target, [contentRect.width, contentRect.height]);
  for (const tell of listeners) tell();
});
const listeners = [];
export const whenResized = (tell) => listeners.push(tell);

/** The context of an empty canvas in units of CSS pixels, with its width and height. */
export function cleared(canvas) {
  if (canvas.drawn) return canvas.drawn;  // no canvas, but what writes down what is painted
  if (!sizes.has(canvas)) {
    sizes.set(canvas, [canvas.clientWidth, canvas.clientHeight]);
    watcher.observe(canvas);
  }
  const size = sizes.get(canvas), [width, height] = size, context = canvas.getContext("2d");
  if (fitted.get(canvas) !== size) fit(canvas, context, size);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

/** Give a canvas as many pixels as the screen has, and the font, which is slow to set. */
function fit(canvas, context, size) {
  const sharp = devicePixelRatio || 1, root = parseFloat(getComputedStyle(document.documentElement).fontSize);
  [canvas.width, canvas.height] = size.map((side) => Math.round(side * sharp));
  context.setTransform(sharp, 0, 0, sharp, 0, 0);
  context.font = `${FONT * root}px ${FAMILY}`;
  fitted.set(canvas, size);
}

/** A line through points. */
export function stroke(context, ink, wide, ...points) {
  context.strokeStyle = ink;
  context.lineWidth = wide;
  context.beginPath();
  for (const [x, y] of points) context.lineTo(x, y);
  context.stroke();
}

/** An arrow whose head is a triangle. */
export function arrow(context, ink, wide, [x, y], [toX, toY], head) {
  const turn = Math.atan2(toY - y, toX - x), [cos, sin] = [head * Math.cos(turn), head * Math.sin(turn)];
  stroke(context, ink, wide, [x, y], [toX - cos, toY - sin]);
  context.fillStyle = ink;
  context.beginPath();
  context.moveTo(toX, toY);
  for (const side of [-0.8, 0.8]) context.lineTo(toX - cos + side * sin, toY - sin - side * cos);
  context.fill();
}

export function disc(context, x, y, radius) {
  context.beginPath();
  context.arc(x, y, radius, 0, 7);
  context.fill();
}

/** Whether a canvas needs drawing: it is on the screen, or nearly, or its size or content is another than last time. */
export function needsDrawing(canvas, content) {
  if (!views.has(canvas)) viewer.observe(canvas);
  const before = views.get(canvas) ?? { seen: true }, size = sizes.get(canvas);
  views.set(canvas, { seen: before.seen, content, size });
  return before.seen || content !== before.content || size !== before.size;
}
const views = new WeakMap();
const viewer = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) views.set(target, { ...views.get(target), seen: isIntersecting });
  for (const tell of listeners) tell();
}, { rootMargin: "20%" });
