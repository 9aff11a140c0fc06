// Wrong weights over time: the last steps one by one, and the whole run in bins.

import { cleared, disc, palette, stroke } from "./canvas.js";
import { hovered } from "./hover.js";

const LEFT = 30, BOTTOM = 20, TOP = 16, RIGHT = 8;
const RISES = [1, 2, 5, 10, 20, 50, 100, 200], APART = 18;  // of lines across: weights, pixels at least
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** A number of steps in few letters. */
export const brief = (number) => (number < 1e4 ? number.toLocaleString("en") : short.format(number));

function frame(canvas, first, last, most) {
  const { context, width, height } = cleared(canvas), colour = palette();
  const right = width - RIGHT, bottom = height - BOTTOM;
  const across = (step) => LEFT + (step - first) / (last - first) * (right - LEFT);
  const rise = RISES.find((one) => Math.ceil(most / one) * APART <= bottom - TOP) ?? most;
  const top = Math.ceil(most / rise) * rise, up = (value) => bottom - value / top * (bottom - TOP);
  context.fillStyle = colour.quiet;
  context.textBaseline = "middle";
  context.textAlign = "right";
  for (let value = 0; value <= top; value += rise) {
    const y = Math.round(up(value)) + 0.5;
    stroke(context, colour.line, 1, [LEFT, y], [right, y]);
    context.fillText(value, LEFT - 7, y);
  }
  context.textBaseline = "alphabetic";
  context.textAlign = "left";
  context.fillText(brief(Math.max(0, first)), LEFT + 10, height - 5);
  context.textAlign = "right";
  context.fillText(brief(last), right - 10, height - 5);
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

/** The last steps: a line in stairs, thin for the second run, and a triangle for each return. */
export function drawRecent(canvas, run, other, top, restarts) {
  const last = Math.max(run.step, WINDOW), first = last - WINDOW, changes = run.history.since(first);
  const { context, across, up, colour } = frame(canvas, first, last, top);
  const end = Math.min(run.step, last);
  drawRestarts(context, across, first, moved(run, end), restarts, up(top), up(0), colour);
  if (hovered() >= 0) drawWrong(context, across, first, run, hovered(), up(0), colour);
  const stairs = (all) => {
    context.beginPath();
    all.forEach(([step, value], i) => {
      const x = across(Math.max(first, step));
      if (i === 0) context.moveTo(x, up(value));
      else {
        context.lineTo(x, up(all[i - 1][1]));
        context.lineTo(x, up(value));
      }
    });
    context.lineTo(across(end), up(all[all.length - 1][1]));
    context.stroke();
  };
  if (other) {
    second(context, colour);
    stairs(other.history.since(first));
  }
  context.strokeStyle = colour.blue;
  context.lineWidth = 2;
  stairs(changes);
  const now = changes[changes.length - 1][1];
  context.fillStyle = colour.purple;
  changes.forEach(([step, value], i) => {
    if (i > 0 && value === 0 && changes[i - 1][1] > 0 && step > run.firstStay) triangle(context, across(step), 6, 7);
  });
  context.fillStyle = colour.blue;
  disc(context, across(end), up(now), 4);
}

/** The pen for the second run. */
function second(context, colour) {
  context.strokeStyle = colour.ink;
  context.lineWidth = 1;
}

/** A strip below the chart where weight k was wrong. */
function drawWrong(context, across, first, run, k, base, colour) {
  const { steps, since } = run.history.turnsOf(k, first);
  let wrong = run.signs[k] !== run.data.teacher[k], end = run.step;
  context.fillStyle = colour.vermillion;
  for (const step of [...steps, Math.max(first, since)]) {
    if (wrong) context.fillRect(across(step), base + 2, Math.max(1, across(end) - across(step)), 5);
    wrong = !wrong;
    end = step;
  }
  context.textAlign = "center";
  context.fillText(`bit ${k + 1} wrong`, (across(first) + across(first + WINDOW)) / 2, base + BOTTOM - 5);
}

/** How far the run went on until then: one that is absorbed is over. */
const moved = (run, step) => (run.absorbed ? Math.min(step, run.anchor) : step);

function drawRestarts(context, across, first, last, every, high, low, colour) {
  if (!every || (last - first) / every > 60) return;
  context.setLineDash([2, 4]);
  for (let step = Math.ceil(Math.max(first, 1) / every) * every; step <= last; step += every) {
    stroke(context, colour.amber, 1.5, [across(step), high], [across(step), low]);
  }
  context.setLineDash([]);
}

/** Bins of a run, as many as pixels: mean, range and returns of each. */
function spansOf({ history, step }, pixels) {
  history.fill(step, history.distance);
  const bins = Math.ceil(step / history.width), each = Math.max(1, Math.ceil(bins / pixels)), spans = [];
  for (let from = 0; from < bins; from += each) {
    let area = 0, low = 65535, high = 0, arrivals = 0;
    const to = Math.min(bins, from + each);
    for (let bin = from; bin < to; bin++) {
      area += history.area[bin];
      low = Math.min(low, history.low[bin]);
      high = Math.max(high, history.high[bin]);
      arrivals += history.arrivals[bin];
    }
    const start = from * history.width, end = Math.min(step, to * history.width);
    spans.push({ start, end, mean: area / (end - start), low, high, arrivals });
  }
  return spans;
}

/** Where the whole run is on its canvas: {left, right, end}. */
export const wholeSpan = (canvas, run) => ({ left: LEFT, right: canvas.clientWidth - RIGHT, end: Math.max(run.step, 20) });

/**
 * The whole run as far as it came: mean and range in each bin, returns above, the wrong weights of the average, the mean
 * of the second run (or null), and a handle at the step `now` that the page shows.
 */
export function drawWhole(canvas, run, other, top, restarts, averages, now) {
  const { history } = run, last = Math.max(run.step, 20);
  const { context, across, up, right, colour } = frame(canvas, 0, last, top);
  drawRestarts(context, across, 0, moved(run, run.step), restarts, up(top), up(0), colour);
  if (run.step === 0) {
    context.fillStyle = colour.blue;
    disc(context, across(0), up(history.start), 4);
  }
  const pixels = Math.max(1, Math.floor(right - LEFT)), spans = spansOf(run, pixels);
  const most = Math.max(...spans.map(({ start, end, arrivals }) => arrivals / (end - start)));
  const single = spans.length > 0 && spans[0].end === 1;  // step by step
  const means = (all) => {
    context.beginPath();
    all.forEach(({ start, end, mean }, i) => {
      if (single) {
        context[i ? "lineTo" : "moveTo"](across(start), up(mean));
        context.lineTo(across(end), up(mean));
      } else {
        context[i ? "lineTo" : "moveTo"](across((start + end) / 2), up(mean));
      }
    });
    context.stroke();
  };
  context.fillStyle = colour.band;
  for (const { start, end, low, high } of spans) {
    context.fillRect(across(start), up(high), across(end) - across(start) + 0.5, up(low) - up(high));
  }
  if (other) {
    second(context, colour);
    means(spansOf(other, pixels));
  }
  context.strokeStyle = colour.blue;
  context.lineWidth = 1.75;
  means(spans);
  context.fillStyle = colour.purple;
  for (const { start, end, arrivals } of spans) {
    if (!arrivals) continue;
    if (single) {
      triangle(context, across(start), 6, 6);
    } else {
      context.globalAlpha = 0.25 + 0.75 * arrivals / (end - start) / most;
      context.fillRect(across(start), 2, Math.max(1, across(end) - across(start)), 9);
      context.globalAlpha = 1;
    }
  }
  context.setLineDash([6, 4]);
  stroke(context, colour.amber, 2, ...averages.map(([step, wrong]) => [across(step), up(wrong)]));
  context.setLineDash([]);
  stroke(context, colour.ink, 1, [across(now), up(now < run.step ? top : 0)], [across(now), up(0)]);
  context.fillStyle = colour.ink;
  triangle(context, across(now), up(0) + 9, -9);
}
