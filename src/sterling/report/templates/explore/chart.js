// Wrong weights over time: the last steps one by one, and the whole run in bins.

import { cleared, palette } from "./canvas.js";

const LEFT = 30, BOTTOM = 20, TOP = 16, RIGHT = 8;
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** A number of steps in few letters. */
export const brief = (number) => (number < 1e4 ? number.toLocaleString("en") : short.format(number));

function frame(canvas, first, last, most) {
  const { context, width, height } = cleared(canvas), colour = palette();
  const right = width - RIGHT, bottom = height - BOTTOM;
  const across = (step) => LEFT + (step - first) / (last - first) * (right - LEFT);
  const rise = most <= 4 ? 1 : most <= 10 ? 2 : most <= 25 ? 5 : most <= 60 ? 10 : most <= 150 ? 25 : 50;
  const top = Math.ceil(most / rise) * rise, up = (value) => bottom - value / top * (bottom - TOP);
  context.strokeStyle = colour.line;
  context.fillStyle = colour.quiet;
  context.lineWidth = 1;
  context.textBaseline = "middle";
  context.textAlign = "right";
  for (let value = 0; value <= top; value += rise) {
    const y = Math.round(up(value)) + 0.5;
    context.beginPath();
    context.moveTo(LEFT, y);
    context.lineTo(right, y);
    context.stroke();
    context.fillText(value, LEFT - 7, y);
  }
  context.textBaseline = "alphabetic";
  context.textAlign = "left";
  context.fillText(brief(Math.max(0, first)), LEFT, height - 5);
  context.textAlign = "right";
  context.fillText(brief(last), right, height - 5);
  return { context, across, up, right, bottom, colour };
}

function triangle(context, x, y, size) {
  context.beginPath();
  context.moveTo(x, y + size);
  context.lineTo(x - 0.7 * size, y - 0.3 * size);
  context.lineTo(x + 0.7 * size, y - 0.3 * size);
  context.fill();
}

/** Steps that the upper chart shows. */
export const WINDOW = 120;

/** The last steps: a line in stairs, and a triangle for each return. */
export function drawRecent(canvas, run, top, restarts) {
  const last = Math.max(run.step, WINDOW), first = last - WINDOW, changes = run.history.since(first);
  const { context, across, up, colour } = frame(canvas, first, last, top);
  const end = Math.min(run.step, last);
  drawRestarts(context, across, first, moved(run, end), restarts, up(top), up(0), colour);
  context.strokeStyle = colour.blue;
  context.lineWidth = 2;
  context.beginPath();
  changes.forEach(([step, value], i) => {
    const x = across(Math.max(first, step));
    if (i === 0) context.moveTo(x, up(value));
    else {
      context.lineTo(x, up(changes[i - 1][1]));
      context.lineTo(x, up(value));
    }
  });
  const now = changes[changes.length - 1][1];
  context.lineTo(across(end), up(now));
  context.stroke();
  context.fillStyle = colour.purple;
  changes.forEach(([step, value], i) => {
    if (i > 0 && value === 0 && changes[i - 1][1] > 0 && step > run.firstStay) triangle(context, across(step), 6, 7);
  });
  context.fillStyle = colour.blue;
  context.beginPath();
  context.arc(across(end), up(now), 4, 0, 7);
  context.fill();
}

/** How far the run went on until then: one that is absorbed is over. */
const moved = (run, step) => (run.absorbed ? Math.min(step, run.anchor) : step);

function drawRestarts(context, across, first, last, every, high, low, colour) {
  if (!every || (last - first) / every > 60) return;
  context.strokeStyle = colour.amber;
  context.lineWidth = 1.5;
  context.setLineDash([2, 4]);
  for (let step = Math.ceil(Math.max(first, 1) / every) * every; step <= last; step += every) {
    context.beginPath();
    context.moveTo(across(step), high);
    context.lineTo(across(step), low);
    context.stroke();
  }
  context.setLineDash([]);
}

/** The whole run: mean and range in each bin, returns below, and the wrong weights of the average. */
export function drawWhole(canvas, run, top, restarts, averages) {
  const { history } = run, last = Math.max(run.step, 20);
  const { context, across, up, right, colour } = frame(canvas, 0, last, top);
  drawRestarts(context, across, 0, moved(run, run.step), restarts, up(top), up(0), colour);
  history.fill(run.step, history.distance);
  if (run.step === 0) {
    context.fillStyle = colour.blue;
    context.beginPath();
    context.arc(across(0), up(history.start), 4, 0, 7);
    context.fill();
  }
  const bins = Math.ceil(run.step / history.width), pixels = Math.max(1, Math.floor(right - LEFT));
  const each = Math.max(1, Math.ceil(bins / pixels));
  const spans = [];
  let most = 0;
  for (let from = 0; from < bins; from += each) {
    let area = 0, low = 65535, high = 0, arrivals = 0;
    const to = Math.min(bins, from + each);
    for (let bin = from; bin < to; bin++) {
      area += history.area[bin];
      low = Math.min(low, history.low[bin]);
      high = Math.max(high, history.high[bin]);
      arrivals += history.arrivals[bin];
    }
    const start = from * history.width, end = Math.min(run.step, to * history.width);
    spans.push({ start, end, mean: area / (end - start), low, high, arrivals });
    most = Math.max(most, arrivals / (end - start));
  }
  context.fillStyle = colour.band;
  for (const { start, end, low, high } of spans) {
    context.fillRect(across(start), up(high), across(end) - across(start) + 0.5, up(low) - up(high));
  }
  context.strokeStyle = colour.blue;
  context.lineWidth = 1.75;
  context.beginPath();
  spans.forEach(({ start, end, mean }, i) => {
    if (history.width === 1) {
      context[i ? "lineTo" : "moveTo"](across(start), up(mean));
      context.lineTo(across(end), up(mean));
    } else {
      context[i ? "lineTo" : "moveTo"](across((start + end) / 2), up(mean));
    }
  });
  context.stroke();
  context.fillStyle = colour.purple;
  for (const { start, end, arrivals } of spans) {
    if (!arrivals) continue;
    if (history.width * each === 1) {
      triangle(context, across(start), 6, 6);
    } else {
      context.globalAlpha = 0.25 + 0.75 * arrivals / (end - start) / most;
      context.fillRect(across(start), 2, Math.max(1, across(end) - across(start)), 9);
      context.globalAlpha = 1;
    }
  }
  context.strokeStyle = colour.amber;
  context.lineWidth = 2;
  context.setLineDash([6, 4]);
  context.beginPath();
  averages.forEach(([step, wrong], i) => context[i ? "lineTo" : "moveTo"](across(step), up(wrong)));
  context.stroke();
  context.setLineDash([]);
}
