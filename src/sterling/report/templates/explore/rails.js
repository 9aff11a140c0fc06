// One rail a weight: a bead at its latent weight, an arrow along its next step, and behind it the time average of
// its bit. The reader drags beads.

import { arrow, cleared, disc, palette, stroke } from "./canvas.js";
import { dragOn, hover, hoverOn, hovered } from "./hover.js";

/** Averages within ± this are shown as undecided. */
export const UNDECIDED = 0.2;

const SIDE = 34, TOP = 4, BOTTOM = 20;  // margins
const TALLEST = 40;  // pixels of a row
const FINE = 9, NUMBERED = 14;  // pixels of a row below which beads are dots, and rows have no numbers
const ROOM = 6;  // spreads of a start, 1/√n, from zero to the end of a rail
const DAMPED = 3;  // the same for damped latents, which stay near their bits ±1
const FULL = 0.3, LONGEST = 0.7;  // of a rail's half: the arrow of the mean pull on one wrong weight, the longest arrow
const NEAR = 24;  // pixels within which a bead is taken
const NUDGE = 1 / 40;  // of a rail's half, by an arrow key

/** The latent at the end of the rails. */
const farthest = ({ n, relaxation }) => Math.max(ROOM / Math.sqrt(n), relaxation ? DAMPED : 0);

/** The same for rails that show two runs; `other` may be null. */
export const farthestOf = ({ run, other }) => Math.max(farthest(run), other ? farthest(other) : 0);

// The scale is a square root on both sides of zero: one sees what happens near zero, and nothing moves the scale.
const shareOf = (u, most) => Math.sign(u) * Math.min(1, Math.sqrt(Math.abs(u) / most));
const latentAt = (share, most) => Math.sign(share) * most * Math.min(1, share * share);

/** Where rails are on a canvas. */
function placed(width, height, n) {
  const row = Math.min(TALLEST, (height - TOP - BOTTOM) / n), middle = width / 2, reach = middle - SIDE;
  return { row, middle, reach, fine: row < FINE, y: (k) => TOP + (k + 0.5) * row, across: (share) => middle + share * reach };
}

/**
 * Draw the rails. `run` and `other` (or null) are runs, `most` is the latent at the rails' ends, `pull` the mean pull on
 * one wrong weight, `average` the time averages (null before the first step), `shares` the predicted shares of wrong
 * steps (or null), and `glow(k)`, 0 to 1, says how fresh a flip is.
 */
export function drawRails(canvas, { run, other, most, pull, average, shares, glow }) {
  const { context, width, height } = cleared(canvas), { n, data: { teacher } } = run;
  const pen = { context, colour: palette(), width, ...placed(width, height, n) };
  for (let k = 0; k < n; k++) drawGround(pen, k, teacher[k], average && average[k], shares && shares[k]);
  const { colour, middle, reach, row, y, across } = pen, foot = TOP + n * row;
  stroke(context, colour.quiet, 1, [middle, TOP - 2], [middle, foot + 2]);
  const latents = run.latents(), forces = run.forces(), rest = run.restingPoints(), beside = other?.latents();
  const wrong = (k) => run.signs[k] !== teacher[k];
  for (const k of [...run.signs.keys()].sort((a, b) => wrong(a) - wrong(b))) {  // what is wrong lies on top
    const ink = (sign) => (sign === teacher[k] ? colour.blue : colour.vermillion), x = across(shareOf(latents[k], most));
    const fresh = pen.fine ? 0 : glow(k);
    if (fresh > 0) {  // where the bead crosses zero
      context.globalAlpha = fresh;
      context.fillStyle = colour.blue;
      disc(context, middle, y(k), 0.3 * row + 6 * (1 - fresh));
      context.globalAlpha = 1;
    }
    if (rest && !pen.fine) drawRest(pen, y(k), x, across(shareOf(rest[k], most)), ink(rest[k] >= 0 ? 1 : -1));
    if (!pen.fine) drawArrow(pen, y(k), x, -forces[k] / pull, ink(run.signs[k]));
    if (beside) drawBead(pen, y(k), across(shareOf(beside[k], most)), ink(other.signs[k]), false);
    drawBead(pen, y(k), x, ink(run.signs[k]), true);
  }
  if (hovered() >= 0) {
    const more = pen.fine ? 2 : -0.5;
    context.strokeStyle = colour.ink;
    context.lineWidth = 1.5;
    context.strokeRect(middle - reach - 5, y(hovered()) - row / 2 - more, 2 * reach + 10, row + 2 * more);
  }
  context.fillStyle = colour.quiet;
  for (const [text, share, align] of [["bit −1", -1, "left"], ["0", 0, "center"], ["bit +1", 1, "right"]]) {
    context.textAlign = align;
    context.fillText(text, across(share), Math.min(height - 5, foot + 15));
  }
}

/** The teacher's side of zero, the time average from zero on, and the predicted one as a tick. */
function drawGround({ context, colour, row, middle, reach, fine, y, across }, k, side, mean, share) {
  const gap = fine ? 0 : 1.5, thick = fine ? row : 0.5 * row;
  context.fillStyle = colour.line;
  context.globalAlpha = 0.6;
  context.fillRect(Math.min(middle, middle + side * reach), y(k) - row / 2 + gap, reach, row - 2 * gap);
  context.globalAlpha = 1;
  if (mean !== null) {
    context.fillStyle = Math.abs(mean) < UNDECIDED ? colour.grey : mean * side > 0 ? colour.blue : colour.vermillion;
    context.globalAlpha = 0.32;
    context.fillRect(Math.min(middle, middle + mean * reach), y(k) - thick / 2, Math.max(1, Math.abs(mean) * reach), thick);
    context.globalAlpha = 1;
  }
  if (row >= NUMBERED) {
    context.fillStyle = colour.quiet;
    context.textAlign = "right";
    context.fillText(k + 1, middle - reach - 8, y(k) + 4);
  }
  if (share !== null && share < 1 && row > 4) {
    context.fillStyle = colour.ink;
    context.fillRect(across((1 - 2 * share) * side) - 1, y(k) - 0.4 * row, 2, 0.8 * row);
  }
}

/** The point to which damping takes the bead while no bit flips. */
function drawRest(pen, y, x, goal, ink) {
  const { context, colour, row } = pen, size = 0.19 * row;
  context.setLineDash([2, 3]);
  stroke(context, colour.quiet, 1.5, [x, y], [goal, y]);
  context.setLineDash([]);
  context.fillStyle = colour.surface;
  stroke(context, ink, 4, ...[[-1, 0], [0, -1], [1, 0], [0, 1], [-1, 0], [0, -1]].map(([a, b]) => [goal + size * a, y + size * b]));
  context.fill();
}

function drawArrow({ context, width, row, reach }, y, x, push, ink) {
  const way = Math.sign(push), bead = beadSize(row), far = bead + Math.min(LONGEST, FULL * Math.abs(push)) * reach;
  const tip = Math.min(width - 1, Math.max(1, x + way * far)), head = Math.min(0.2 * row, Math.abs(tip - x) - bead);
  if (head >= 1) arrow(context, ink, 2, [x, y], [tip, y], head);
}

const beadSize = (row) => Math.min(8, Math.max(1.5, 0.3 * row));

function drawBead({ context, colour, row, fine }, y, x, ink, filled) {
  context.fillStyle = filled ? ink : colour.surface;
  context.strokeStyle = filled ? colour.surface : ink;
  context.lineWidth = fine ? 1 : Math.min(2.5, 0.08 * row);
  disc(context, x, y, beadSize(row));
  if (!filled || !fine) context.stroke();
}

// ---- The reader's hand

let chosen = 0;  // the weight that the keyboard moves

/**
 * Let the reader move beads. `view()` is {run, most} or null; `move(k, u)` puts latent k at u, and `drop()` lets go. Keys:
 * up and down choose a weight, left and right move it, Enter lets go.
 */
export function listenToRails(canvas, view, move, drop) {
  let held = -1;
  const places = ({ run }) => placed(canvas.clientWidth, canvas.clientHeight, run.n);
  const rowAt = (y) => {
    const shown = view(), k = shown ? Math.floor((y - TOP) / places(shown).row) : -1;
    return shown && k < shown.run.n ? k : -1;
  };
  const beadAt = (x, y) => {
    const shown = view();
    if (!shown) return -1;
    const { across, y: row } = places(shown);
    const far = Array.from(shown.run.latents(), (u, k) => Math.hypot(across(shareOf(u, shown.most)) - x, row(k) - y));
    const best = far.indexOf(Math.min(...far));
    return far[best] < NEAR ? best : -1;
  };
  hoverOn(canvas, (x, y) => (held >= 0 ? held : rowAt(y)));
  dragOn(canvas, (x, y) => {
    held = beadAt(x, y);
    chosen = Math.max(0, held);
    return held >= 0;
  }, (x) => {
    const shown = view(), { middle, reach } = places(shown);
    move(held, latentAt(Math.max(-1, Math.min(1, (x - middle) / reach)), shown.most));
  }, drop);
  canvas.addEventListener("lostpointercapture", () => { held = -1; });
  canvas.addEventListener("keydown", (event) => {
    const shown = view(), across = { ArrowLeft: -1, ArrowRight: 1 }[event.key], down = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!shown || event.ctrlKey || event.altKey || event.metaKey || !(across || down || event.key === "Enter")) return;
    event.preventDefault();
    event.stopPropagation();
    const { run: { n }, run, most } = shown;
    chosen = Math.min(n - 1, Math.max(0, Math.min(n - 1, chosen) + (down ?? 0)));
    hover(chosen);
    if (across) move(chosen, latentAt(shareOf(run.latents()[chosen], most) + across * NUDGE * (event.shiftKey ? 5 : 1), most));
    if (event.key === "Enter") drop();
  });
  canvas.addEventListener("focus", () => {
    if (canvas.matches(":focus-visible")) hover(chosen);
  });
  canvas.addEventListener("blur", () => hover(-1));
}

const number = (x) => String(Number(x.toPrecision(3))).replaceAll("-", "−");

/** One weight in a line. */
export function weightWords(run, k) {
  const right = run.signs[k] === run.data.teacher[k] ? "right" : "wrong", gradient = run.gradients.values[run.at + k];
  return `Weight ${k + 1} is ${right}: latent ${number(run.latents()[k])}, gradient ${number(gradient)}; wrong in ${
    (100 * run.wrongShare(k)).toFixed(1)} % of the steps`;
}

/** What the slider of the chosen weight says to screen readers. */
export function railsValues(run, most) {
  const k = Math.min(chosen, run.n - 1);
  return { min: -most, max: most, now: run.latents()[k], text: weightWords(run, k) };
}
