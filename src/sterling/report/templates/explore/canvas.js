// A canvas that is as sharp as the screen, and the colours of the page's scheme.

const NAMES = ["ink", "quiet", "line", "surface", "shade", "blue", "vermillion", "amber", "purple", "grey", "band"];
const FONT = 0.8125;  // of the page's size of type
let colours = null;

/** Colours of the style sheet by name; they change with the scheme. */
export function palette() {
  if (!colours) {
    const style = getComputedStyle(document.documentElement);
    colours = Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  }
  return colours;
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  colours = null;
});

const sizes = new WeakMap();
const watcher = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) sizes.set(target, [contentRect.width, contentRect.height]);
  for (const tell of listeners) tell();
});
const listeners = [];
export const whenResized = (tell) => listeners.push(tell);

/** The context of an empty canvas in units of CSS pixels, with its width and height. */
export function cleared(canvas) {
  if (!sizes.has(canvas)) {
    sizes.set(canvas, [canvas.clientWidth, canvas.clientHeight]);
    watcher.observe(canvas);
  }
  const [width, height] = sizes.get(canvas), sharp = devicePixelRatio || 1;
  const wide = Math.round(width * sharp), high = Math.round(height * sharp);
  const context = canvas.getContext("2d");
  if (canvas.width !== wide || canvas.height !== high) {
    canvas.width = wide;
    canvas.height = high;
  }
  context.setTransform(sharp, 0, 0, sharp, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = `${FONT * parseFloat(getComputedStyle(document.documentElement).fontSize)}px system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif`;
  return { context, width, height };
}

/**
 * An empty canvas as above, but with what `draw(context, width, height)` paints on it. That is painted anew only if size,
 * colours or one of `parts` change.
 */
export function withGround(canvas, parts, draw) {
  const drawn = cleared(canvas), { context, width, height } = drawn, mark = [canvas.width, canvas.height, palette(), ...parts];
  const ground = grounds.get(canvas);
  if (ground && mark.every((part, i) => part === ground.mark[i])) {
    context.save();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.drawImage(ground.copy, 0, 0);
    context.restore();
  } else {
    draw(context, width, height);
    const copy = document.createElement("canvas");
    Object.assign(copy, { width: canvas.width, height: canvas.height });
    if (copy.width && copy.height) copy.getContext("2d").drawImage(canvas, 0, 0);
    grounds.set(canvas, { mark, copy });
  }
  return drawn;
}
const grounds = new WeakMap();

/** Whether a canvas is on the screen, or nearly; the listeners hear when it comes there. */
export function inView(canvas) {
  if (!views.has(canvas)) {
    views.set(canvas, true);
    viewer.observe(canvas);
  }
  return views.get(canvas);
}
const views = new WeakMap();
const viewer = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) views.set(target, isIntersecting);
  for (const tell of listeners) tell();
}, { rootMargin: "20%" });
