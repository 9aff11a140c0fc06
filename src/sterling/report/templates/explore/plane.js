// Two weights in the plane: inputs, half-planes of student and teacher, the four states, and the latent weights on
// their way. An input is a point and so is a pair of weights; both are drawn on the same axes.

import { cleared, palette, stroke } from "./canvas.js";
import { dragOn, pointerOn } from "./hover.js";
import { INPUT_BITS } from "./problem.js";

const REACH = 2.4;  // from the centre to the nearer edge
const CORNER = 2;  // where the states stand
const POINTS = 300;  // inputs drawn, at most
const PATH = 2000;  // remembered places of the latent weights
const ARROW = 1.5;  // length of an arrow for a gradient of 1
const DOT = 9;  // pixels of the latent weights, with their rim
const NEAR = 30;  // pixels within which the latent weights are taken

const paths = new WeakMap();

/** The places of the latent weights at the steps that were shown, newest last. */
function pathOf(run) {
  if (!paths.has(run)) paths.set(run, []);
  const path = paths.get(run), now = run.latents();
  if (path.at(-1)?.step !== run.step) path.push({ step: run.step, x: now[0], y: now[1] });
  if (path.length > PATH) path.splice(0, PATH / 2);
  return path;
}

function placed(width, height) {
  const unit = Math.min(width, height) / 2 / REACH;
  return { unit, across: (x) => width / 2 + x * unit, up: (y) => height / 2 - y * unit };
}

/** Draw a run of two weights; returns what the picture shows in words. */
export function drawPlane(canvas, run) {
  const { context, width, height } = cleared(canvas), colour = palette(), { data, signs } = run, { teacher } = data;
  const { unit, across, up } = placed(width, height), far = (width + height) / unit;
  const line = (...points) => {
    context.beginPath();
    for (const [x, y] of points) context.lineTo(across(x), up(y));
  };
  const dot = (x, y, size) => {
    context.beginPath();
    context.arc(across(x), up(y), size, 0, 7);
  };
  const border = ([a, b]) => [[far * b, -far * a], [-far * b, far * a]];
  context.fillStyle = colour.band;
  context.globalAlpha = 0.6;
  line(...border(signs), [far * (signs[0] - signs[1]), far * (signs[0] + signs[1])], [far * (signs[0] + signs[1]), far * (signs[1] - signs[0])]);
  context.fill();
  context.globalAlpha = 1;
  const drawn = (ink, wide, ...points) => stroke(context, ink, wide, ...points.map(([a, b]) => [across(a), up(b)]));
  drawn(colour.quiet, 1, [-far, 0], [far, 0]);
  drawn(colour.quiet, 1, [0, -far], [0, far]);
  context.setLineDash([7, 5]);
  drawn(colour.grey, 2, ...border(teacher));
  context.setLineDash([]);
  drawn(colour.blue, 2, ...border(signs));
  drawInputs(context, data, signs, colour, (x, y) => dot(x, y, 2.75));
  for (const state of [[1, 1], [-1, 1], [-1, -1], [1, -1]]) {
    const [x, y] = state.map((sign, k) => (k === 0 ? across : up)(sign * CORNER));
    drawState(context, x, y, state, same(state, signs), same(state, teacher), colour, width / 2 - CORNER * unit);
  }
  const path = pathOf(run), { x, y } = path.at(-1), forces = run.forces();
  context.globalAlpha = 0.6;
  drawn(colour.ink, 1.5, ...path.map((point) => [point.x, point.y]));
  context.globalAlpha = 1;
  drawArrow(context, colour.ink, [across(x), up(y)], [-ARROW * unit * forces[0], ARROW * unit * forces[1]]);
  context.fillStyle = colour.ink;
  context.strokeStyle = colour.surface;
  context.lineWidth = 2;
  dot(x, y, DOT - 2);
  context.fill();
  context.stroke();
  return `Latent weights ${x.toFixed(2)} and ${y.toFixed(2)}; the teacher's bits are ${teacher.join(" and ")}`;
}

const same = (state, signs) => state[0] === signs[0] && state[1] === signs[1];

/** Inputs: filled where the label is nearer to 1, in the colour of wrong weights where the student's answer is not. */
function drawInputs(context, data, signs, colour, circle) {
  const { rows, labels, m, samples, bits } = data, scale = 2 ** INPUT_BITS;
  if (m > 1) return;  // a label then belongs to several points
  context.lineWidth = 1.25;
  for (let i = 0; i < Math.min(samples, POINTS); i++) {
    const x = rows[2 * i], y = rows[2 * i + 1], one = labels[i] > 2 ** (bits - 1);
    context.fillStyle = context.strokeStyle = one === signs[0] * x + signs[1] * y > 0 ? colour.quiet : colour.vermillion;
    circle(x / scale, y / scale);
    if (one) context.fill();
    else context.stroke();
  }
}

/** The two bits of a state, framed where the run is, with the teacher's name; `room` is what there is beside it. */
function drawState(context, x, y, state, here, taught, colour, room) {
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

/** An arrow from the rim of the dot on. */
function drawArrow(context, ink, [x, y], [byX, byY]) {
  const length = Math.hypot(byX, byY), turn = Math.atan2(byY, byX), rim = DOT / length, head = Math.min(8, length);
  if (length < 2) return;
  const [toX, toY] = [x + (1 + rim) * byX, y + (1 + rim) * byY];
  const back = (side) => [toX - head * Math.cos(turn + side), toY - head * Math.sin(turn + side)];
  stroke(context, ink, 2.5, [x, y], [toX, toY]);
  stroke(context, ink, 2.5, back(-0.5), [toX, toY], back(0.5));
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
  canvas.addEventListener("pointermove", (event) => {
    canvas.style.cursor = isNear(...pointerOn(canvas, event)) ? "grab" : "";
  });
}
