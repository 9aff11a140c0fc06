// Two weights in the plane: inputs, half-planes of student and teacher, the four states, and the latent weights on
// their way. An input is a point and so is a pair of weights; both are drawn on the same axes.

import { arrow, cleared, disc, palette, stroke } from "./canvas.js";
import { dragOn } from "./hover.js";
import { INPUT_BITS } from "./problem.js";

const REACH = 2.4;  // from the centre to the nearer edge
const CORNER = 2;  // where the states stand
const POINTS = 300;  // inputs drawn, at most
const PATH = 2000;  // remembered places of the latent weights
const ARROW = 1.5;  // length of an arrow for a gradient of 1
const DOT = 9;  // pixels of the latent weights, with their rim
const NEAR = 30;  // pixels within which the latent weights are taken

let path = { run: null, places: [] };

/** The places of the latent weights at the steps that were shown, newest last. */
function pathOf(run) {
  if (path.run !== run) path = { run, places: [] };
  path.places.push([...run.latents()]);
  if (path.places.length > PATH) path.places.shift();
  return path.places;
}

function placed(width, height) {
  const unit = Math.min(width, height) / 2 / REACH;
  return { unit, across: (x) => width / 2 + x * unit, up: (y) => height / 2 - y * unit };
}

/** Draw a run of two weights; returns what the picture shows in words. */
export function drawPlane(canvas, run) {
  const { context, width, height } = cleared(canvas), colour = palette(), { data, signs } = run, { teacher } = data;
  const { unit, across, up } = placed(width, height), far = (width + height) / unit;
  const at = ([x, y]) => [across(x), up(y)];
  const line = (ink, wide, ...points) => stroke(context, ink, wide, ...points.map(at));
  const border = ([a, b]) => [[far * b, -far * a], [-far * b, far * a]], [a, b] = signs;
  context.fillStyle = colour.band;
  context.globalAlpha = 0.6;
  line("transparent", 0, ...border(signs), [far * (a - b), far * (a + b)], [far * (a + b), far * (b - a)]);
  context.fill();
  context.globalAlpha = 1;
  line(colour.quiet, 1, [-far, 0], [far, 0]);
  line(colour.quiet, 1, [0, -far], [0, far]);
  context.setLineDash([7, 5]);
  line(colour.grey, 2, ...border(teacher));
  context.setLineDash([]);
  line(colour.blue, 2, ...border(signs));
  drawInputs(context, data, signs, colour, at);
  for (const state of [[1, 1], [-1, 1], [-1, -1], [1, -1]]) {
    const where = at(state.map((sign) => sign * CORNER)), room = width / 2 - CORNER * unit;
    drawState(context, where, state, same(state, signs), same(state, teacher), colour, room);
  }
  const places = pathOf(run), [x, y] = places.at(-1), dot = at([x, y]);
  const [right, rise] = run.forces().map((g) => -ARROW * unit * g), length = Math.hypot(right, rise);
  const reach = 1 + DOT / length;  // from the rim of the dot on
  context.globalAlpha = 0.6;
  line(colour.ink, 1.5, ...places);
  context.globalAlpha = 1;
  const tip = [dot[0] + reach * right, dot[1] - reach * rise];
  if (length >= 2) arrow(context, colour.ink, 2.5, dot, tip, Math.min(8, length));
  context.fillStyle = colour.ink;
  context.strokeStyle = colour.surface;
  context.lineWidth = 2;
  disc(context, ...dot, DOT - 2);
  context.stroke();
  return `Latent weights ${x.toFixed(2)} and ${y.toFixed(2)}; the teacher’s bits are ${teacher.join(" and ")}`;
}

const same = (state, signs) => state[0] === signs[0] && state[1] === signs[1];

/** Inputs: filled where the label is nearer to 1, in the colour of wrong weights where the student's answer is not. */
function drawInputs(context, data, signs, colour, at) {
  const { rows, labels, m, samples, bits } = data, scale = 2 ** INPUT_BITS;
  if (m > 1) return;  // a label then belongs to several points
  context.lineWidth = 1.25;
  for (let i = 0; i < Math.min(samples, POINTS); i++) {
    const x = rows[2 * i], y = rows[2 * i + 1], one = labels[i] > 2 ** (bits - 1);
    context.fillStyle = context.strokeStyle = one === signs[0] * x + signs[1] * y > 0 ? colour.quiet : colour.vermillion;
    context.beginPath();
    context.arc(...at([x / scale, y / scale]), 2.75, 0, 7);
    context[one ? "fill" : "stroke"]();
  }
}

/** The two bits of a state, framed where the run is, with the teacher's name; `room` is what there is beside it. */
function drawState(context, [x, y], state, here, taught, colour, room) {
  const cell = 14, wide = 2 * cell + 12, high = cell + 10;
  context.fillStyle = colour.surface;
  context.strokeStyle = here ? colour.blue : colour.line;
  context.lineWidth = here ? 3 : 1;
  context.beginPath();
  context.roundRect(x - wide / 2, y - high / 2, wide, high, 5);
  context.fill();
  context.stroke();
  context.fillStyle = context.strokeStyle = colour.ink;
  context.lineWidth = 2;
  state.forEach((sign, k) => {
    const left = x + (k - 1) * (cell + 2) + 1;
    if (sign > 0) context.fillRect(left, y - cell / 2, cell, cell);
    else context.strokeRect(left + 1, y - cell / 2 + 1, cell - 2, cell - 2);
  });
  if (!taught) return;
  context.fillStyle = colour.quiet;  // the name stands outside, beside the state or else beyond it, where no inputs are
  const [out, down] = [Math.sign(state[0]), -Math.sign(state[1])], beside = room > wide / 2 + context.measureText("teacher").width + 8;
  context.textAlign = beside ? (out > 0 ? "left" : "right") : "center";
  const at = beside ? [x + out * (wide / 2 + 6), y + 4] : [x, y + down * (high / 2 + 9) + 4];
  context.strokeStyle = colour.surface;
  context.lineWidth = 5;
  for (const write of ["strokeText", "fillText"]) context[write]("teacher", ...at);
}

/** Let the reader drag the latent weights: `view()` is the run, `start(latents)` begins one, `drop()` lets it go. */
export function listenToPlane(canvas, view, start, drop) {
  const space = () => placed(canvas.clientWidth, canvas.clientHeight);
  const isNear = (x, y) => {
    const run = view(), { across, up } = space();
    return run && Math.hypot(across(run.latents()[0]) - x, up(run.latents()[1]) - y) < NEAR;
  };
  dragOn(canvas, isNear, (x, y) => {
    const { clientWidth: width, clientHeight: height } = canvas, { unit } = space();
    start([(Math.min(width, Math.max(0, x)) - width / 2) / unit, (height / 2 - Math.min(height, Math.max(0, y))) / unit]);
  }, drop);
}
