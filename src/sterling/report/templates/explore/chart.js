// Wrong weights over time: the last steps one by one, and the whole run in bins.

import { cleared, disc, palette, stroke } from "./canvas.js";
import { hovered } from "./hover.js";

const LEFT = 30, BOTTOM = 20, TOP = 16, RIGHT = 8;
const RISES = [1, 2, 5, 10, 20, 50, 100, 200], APART = 18;  // of lines across: weights, pixels at least
const MOST_BINS = 256;  // of the whole run
const LEAST = 3;  // weights at the top of a chart
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** A number of steps in few letters. */
export const brief = (number) => (number < 1e4 ? number.toLocaleString("en") : short.format(number));

/** Steps that the upper chart shows. */
export const WINDOW = 120;

/** Draw the axes of a chart with room for `values`; returns what draws on. */
function frame(canvas, first, last, values) {
  const { context, width, height } = cleared(canvas), colour = palette(), most = Math.max(LEAST, ...values);
  const right = width - RIGHT, bottom = height - BOTTOM;
  const across = (step) => LEFT + (step - first) / (last - first) * (right - LEFT);
  const rise = RISES.find((one) => Math.ceil(most / one) * APART <= bottom - TOP) ?? most;
  const top = Math.ceil(most / rise) * rise, up = (value) => bottom - value / top * (bottom - TOP);
  context.fillStyle = colour.quiet;
  context.textAlign = "right";
  for (let value = 0; value <= top; value += rise) {
    const y = Math.round(up(value)) + 0.5;
    stroke(context, colour.line, 1, [LEFT, y], [right, y]);
    context.fillText(value, LEFT - 7, y + 4);
  }
  context.textAlign = "left";
  context.fillText(brief(Math.max(0, first)), LEFT + 10, height - 5);
  context.textAlign = "right";
  context.fillText(brief(last), right - 10, height - 5);
  return { context, across, up, right, bottom, colour, first, top: up(most) };
}

function triangle(context, x, y, size) {
  context.beginPath();
  context.moveTo(x, y + size);
  context.lineTo(x - 0.7 * size, y - 0.3 * size);
  context.lineTo(x + 0.7 * size, y - 0.3 * size);
  context.fill();
}

/** The last steps: a line in stairs, thin for the second run (or null), and a triangle for each return. */
export function drawRecent(canvas, run, other, restarts) {
  const last = Math.max(run.step, WINDOW), start = last - WINDOW;
  const [changes, beside] = [run, other].map((one) => one?.history.since(start) ?? []);
  const pen = frame(canvas, start, last, [...changes, ...beside].map(([, value]) => value));
  const { context, across, up, colour } = pen, end = across(run.step), now = up(changes.at(-1)[1]);
  drawRestarts(pen, run, restarts);
  if (hovered() >= 0) drawWrong(pen, run, hovered());
  const stairs = (all) => all.flatMap(([step, value], i) => {
    const x = across(Math.max(start, step));
    return [[x, up(all[Math.max(0, i - 1)][1])], [x, up(value)]];
  });
  if (other) stroke(context, colour.ink, 1, ...stairs(beside), [end, up(beside.at(-1)[1])]);
  stroke(context, colour.blue, 2, ...stairs(changes), [end, now]);
  const first = run.firstHit < 0 ? run.anchor : run.firstHit;  // the first arrival is no return
  context.fillStyle = colour.purple;
  changes.forEach(([step, value], i) => {
    if (i > 0 && value === 0 && changes[i - 1][1] > 0 && step > first) triangle(context, across(step), 6, 7);
  });
  context.fillStyle = colour.blue;
  disc(context, end, now, 4);
}

/** A strip below the chart where weight k was wrong. */
function drawWrong({ context, across, first, bottom, colour }, run, k) {
  const { steps, since } = run.history.turnsOf(k, first);
  let wrong = run.signs[k] !== run.data.teacher[k], end = run.step;
  context.fillStyle = colour.vermillion;
  for (const step of [...steps, Math.max(first, since)]) {
    if (wrong) context.fillRect(across(step), bottom + 2, Math.max(1, across(end) - across(step)), 5);
    wrong = !wrong;
    end = step;
  }
  context.textAlign = "center";
  context.fillText(`bit ${k + 1} wrong`, across(first + WINDOW / 2), bottom + BOTTOM - 5);
}

/** Dotted lines at restarts; a run that is absorbed is over. */
function drawRestarts({ context, across, first, top, bottom, colour }, run, every) {
  const last = run.absorbed ? run.anchor : run.step;
  if (!every || (last - first) / every > 60) return;
  context.setLineDash([2, 4]);
  for (let step = Math.ceil(Math.max(first, 1) / every) * every; step <= last; step += every) {
    stroke(context, colour.amber, 1.5, [across(step), top], [across(step), bottom]);
  }
  context.setLineDash([]);
}

/** Bins of a run: mean, range and returns of each. */
function spansOf({ history, step }) {
  history.fill(step, history.distance);
  const bins = Math.ceil(step / history.width), each = Math.max(1, Math.ceil(bins / MOST_BINS)), spans = [];
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

/**
 * The whole run as far as it came: mean and range in each bin, returns above, the wrong weights of the average, the mean
 * of the second run (or null), and a handle at the step `now` that the page shows.
 */
export function drawWhole(canvas, run, other, restarts, averages, now) {
  const { history: { start: atFirst } } = run, last = Math.max(run.step, 20);
  const [spans, beside] = [run, other].map((one) => (one ? spansOf(one) : []));
  const pen = frame(canvas, 0, last, [atFirst, ...[...spans, ...beside].map(({ high }) => high)]);
  const { context, across, up, bottom, colour } = pen, single = spans[0]?.end === 1;  // step by step
  drawRestarts(pen, run, restarts);
  if (run.step === 0) {
    context.fillStyle = colour.blue;
    disc(context, across(0), up(atFirst), 4);
  }
  context.fillStyle = colour.band;
  for (const { start, end, low, high } of spans) {
    context.fillRect(across(start), up(high), across(end) - across(start) + 0.5, up(low) - up(high));
  }
  const means = (all) => all.flatMap(({ start, end, mean }) =>
    (single ? [start, end] : [(start + end) / 2]).map((step) => [across(step), up(mean)]));
  if (other) stroke(context, colour.ink, 1, ...means(beside));
  stroke(context, colour.blue, 1.75, ...means(spans));
  context.fillStyle = colour.purple;
  const rate = ({ start, end, arrivals }) => arrivals / (end - start), most = Math.max(...spans.map(rate));
  for (const span of spans.filter(({ arrivals }) => arrivals)) {
    const x = across(span.start);
    if (single) triangle(context, x, 6, 6);
    else {
      context.globalAlpha = 0.25 + 0.75 * rate(span) / most;
      context.fillRect(x, 2, Math.max(1, across(span.end) - x), 9);
    }
  }
  context.globalAlpha = 1;
  context.setLineDash([6, 4]);
  stroke(context, colour.amber, 2, ...averages.map(([step, wrong]) => [across(step), up(wrong)]));
  context.setLineDash([]);
  stroke(context, colour.ink, 1, [across(now), now < run.step ? pen.top : bottom], [across(now), bottom]);
  context.fillStyle = colour.ink;
  triangle(context, across(now), bottom + 9, -9);
}
