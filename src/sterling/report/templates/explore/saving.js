// What the reader takes away: the stage as an animated GIF, the charts as SVG.

import { palette } from "./canvas.js";
import { $, put } from "./dom.js";
import { compressed, gif, nearestIn } from "./gif.js";
import { svg } from "./svg.js";

const MOST = 200;  // pictures
const PAUSE = 50;  // milliseconds between two of them, at least
const WIDEST = 720;  // pixels
const SHADES = 21;  // of each colour, from the ground on

let film = null;  // what is recorded: the canvas, its palette, the pictures so far

/** The canvases of the stage with their places in its panels, scaled to `most` pixels across at most, and the size of all. */
function stage(most) {
  const all = document.querySelector(".panels").getBoundingClientRect(), scale = Math.min(1, most / all.width);
  const parts = [...document.querySelectorAll("#stage canvas")].filter((part) => part.clientWidth > 0);
  const places = parts.map((part) => part.getBoundingClientRect()).map((box) =>
    [box.left - all.left, box.top - all.top, box.width, box.height].map((x) => x * scale));
  const [width, height] = [all.width, all.height].map((side) => Math.round(side * scale));
  return { width, height, parts: parts.map((part, i) => [part, ...places[i]]) };
}

function begin() {
  const { width, height } = stage(WIDEST), canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true }), colours = shades();
  film = { canvas, context, colours, nearest: nearestIn(colours), pictures: [], last: -Infinity };
}

/** The page's colours, mixed with its ground: what smooth edges have. */
function shades() {
  const bytes = (colour) => colour.match(/\d+/g).map(Number);
  const { surface, ...others } = palette(), ground = bytes(surface);
  return Object.values(others).flatMap((colour) => [...Array(SHADES).keys()].map((i) =>
    bytes(colour).map((x, c) => Math.round(ground[c] + (x - ground[c]) * i / (SHADES - 1)))));
}

/** Take a picture of the stage if it is recorded; the page calls this after it has painted. A run that stands ends the film. */
export function record(now, stands) {
  if (!film || (now - film.last < PAUSE && !stands)) return;
  const { canvas, context, nearest, pictures } = film;
  context.fillStyle = palette().surface;
  context.fillRect(0, 0, canvas.width, canvas.height);
  for (const part of stage(WIDEST).parts) context.drawImage(...part);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height), indices = new Uint8Array(data.length / 4);
  for (let i = 0; i < indices.length; i++) indices[i] = nearest(data[4 * i], data[4 * i + 1], data[4 * i + 2]);
  if (pictures.length) pictures[pictures.length - 1].delay = Math.max(2, Math.round((now - film.last) / 10));
  pictures.push({ data: compressed(indices), delay: 100 });
  film.last = now;
  put("gif", `Stop (${pictures.length})`);
  if (stands || pictures.length === MOST) end();
}

function end() {
  const { canvas, colours, pictures } = film;
  film = null;
  put("gif", "Save as GIF");
  if (pictures.length) save("sterling.gif", gif(canvas.width, canvas.height, colours, pictures));
}

function save(name, blob) {
  const link = Object.assign(document.createElement("a"), { download: name, href: URL.createObjectURL(blob) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** Let the buttons work. `play()` lets the run play, and `draw` paints the charts on two canvases. */
export function listenToSaving(play, draw) {
  $("gif").addEventListener("click", () => {
    if (film) {
      end();
      return;
    }
    begin();
    play();
  });
  $("svg").addEventListener("click", () => {
    const sizes = ["recent", "whole"].map((id) => ({ width: $(id).clientWidth, height: $(id).clientHeight }));
    save("sterling.svg", new Blob([svg(sizes, draw, palette().surface)], { type: "image/svg+xml" }));
  });
}
