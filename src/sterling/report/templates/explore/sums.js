// The weighted sum of a certificate at every state: pushes out of all right bits minus pulls home of all wrong ones, each
// times the factor λ_k ≥ 0 of its bit (docs/science, 13). Its average over a long run is not negative.

import { cleared, palette } from "./canvas.js";
import { aside } from "./field.js";
import { signed } from "./proof_words.js";

const LEFT = 20, RIGHT = 14, TOP = 26, BOTTOM = 40;  // CSS pixels around the dots
const NEAR = 14;  // of the pointer

/** The least share of the time at the teacher, if a at the teacher must outweigh b elsewhere; 0 without a bound. */
export const leastShare = (a, b) => (b > 1e-9 ? Math.max(0, b / (a + b) - 1e-9) : 0);

/** Σ λ_k B′_k(D) of each state D, the highest state but the teacher, and the share of time at the teacher that follows. */
export function summing(balance, lambda, home) {
  const n = lambda.length, values = new Float64Array(balance.length / n);
  let highest = -1;
  for (let s = 0; s < values.length; s++) {
    for (let k = 0; k < n; k++) values[s] += lambda[k] * balance[s * n + k];
    if (s !== home && (highest < 0 || values[s] > values[highest])) highest = s;
  }
  return { values, home, highest, share: leastShare(values[home], -values[highest]) };
}

/** Where dots stand on a canvas: heights go by the square root, so that both large and small sums can be seen. */
function placing({ values, home }, distances, n, width, height) {
  const root = (x) => Math.sign(x) * Math.sqrt(Math.abs(x));
  const low = root(Math.min(0, ...values)), high = Math.max(root(Math.max(...values)), -0.25 * low) || 1;
  const room = (width - LEFT - RIGHT) / (n + 1);
  return {
    room,
    up: (value) => TOP + (high - root(value)) / (high - low) * (height - TOP - BOTTOM),
    across: (s) => LEFT + (distances[s] + 0.5) * room + (s === home ? 0 : aside(s) * room),
  };
}

/** Draw the sums of all states by distance; `stays` holds the steps that the run has spent at each, `pointed` one state. */
export function drawSums(canvas, sums, { distances }, n, stays, steps, pointed) {
  const { context, width, height } = cleared(canvas), colour = palette(), { values, home, highest, share } = sums;
  const { up, across, room } = placing(sums, distances, n, width, height), zero = up(0), dot = n > 9 ? 1.6 : 3;
  context.fillStyle = colour.shade;
  context.fillRect(0, 0, width, zero);
  context.fillStyle = colour.quiet;
  context.textAlign = "right";
  context.fillText("↑ pushed out more", width - 8, 16);
  context.fillText("↓ pulled home more", width - 8, height - BOTTOM - 4);
  context.fillText("0", LEFT - 6, zero - 5);
  context.textAlign = "center";
  for (let d = 0; d <= n; d += n > 8 && width < 500 ? 2 : 1) context.fillText(d, LEFT + (d + 0.5) * room, height - 21);
  context.fillText("wrong bits", width / 2, height - 4);
  for (let s = 0; s < values.length; s++) {
    const wide = values[s] < -1e-9 ? dot : 3;
    context.fillStyle = values[s] < -1e-9 ? colour.grey : colour.vermillion;
    context.fillRect(across(s) - wide / 2, up(values[s]) - wide / 2, wide, wide);
  }
  context.fillStyle = colour.blue;
  context.globalAlpha = 0.75;
  for (let s = 0; s < values.length; s++) {
    if (stays[s] > 0) disc(context, across(s), up(values[s]), 2 + 9 * Math.sqrt(stays[s] / Math.max(1, steps)));
  }
  context.globalAlpha = 1;
  context.strokeStyle = colour.ink;
  context.lineWidth = 1.5;
  line(context, 0, width, zero);
  context.lineWidth = 1;
  context.setLineDash([4, 3]);
  line(context, LEFT + room, width, up(values[highest]));
  context.setLineDash([]);
  context.fillStyle = colour.ink;
  disc(context, across(home), up(values[home]), 5.5);
  tag(context, `the teacher: ${signed(values[home])}`, across(home) + 10, up(values[home]) - (values[home] > 0 ? 5 : 9), colour.ink);
  const words = `the highest other: ${signed(values[highest])}`, left = width - 14 - context.measureText(words).width;
  tag(context, words, left, up(values[highest]) + 15, share > 0 ? colour.ink : colour.vermillion);
  if (pointed >= 0) {
    context.beginPath();
    context.arc(across(pointed), up(values[pointed]), 7, 0, 7);
    context.stroke();
  }
}

/** Words on a ground of their own, for there are dots below them. */
function tag(context, words, x, y, ink) {
  context.textAlign = "left";
  context.globalAlpha = 0.85;
  context.fillStyle = palette().surface;
  context.fillRect(x - 4, y - 12, context.measureText(words).width + 8, 17);
  context.globalAlpha = 1;
  context.fillStyle = ink;
  context.fillText(words, x, y);
}

function disc(context, x, y, radius) {
  context.beginPath();
  context.arc(x, y, radius, 0, 7);
  context.fill();
}

function line(context, from, to, y) {
  context.beginPath();
  context.moveTo(from, y);
  context.lineTo(to, y);
  context.stroke();
}

/** The state whose dot is nearest to a point of the canvas, or −1. */
export function stateAt(canvas, sums, { distances }, n, x, y) {
  const { up, across } = placing(sums, distances, n, canvas.clientWidth, canvas.clientHeight);
  let nearest = -1, least = NEAR ** 2;
  for (let s = 0; s < sums.values.length; s++) {
    const away = (across(s) - x) ** 2 + (up(sums.values[s]) - y) ** 2;
    if (away < least) {
      least = away;
      nearest = s;
    }
  }
  return nearest;
}
