// The weighted sum of a certificate at every state: pushes out of all right bits minus pulls home of all wrong ones, each
// times the factor λ_k ≥ 0 of its bit (docs/science, 13). Its average over a long run is not negative.

import { disc, palette, stroke } from "./canvas.js";
import { signed } from "./proof_words.js";
import { drawStates, LEFT } from "./states.js";

/** Sums from here on are not below zero for certain. */
const BELOW = -1e-9;

/** The least share of the time at the teacher, if a at the teacher must outweigh b elsewhere; 0 without a bound. */
export const leastShare = (a, b) => (-b < BELOW ? Math.max(0, b / (a + b) + BELOW) : 0);

/**
 * Σ λ_k B′_k(D) of each state D, how many others than the teacher are not below zero, the highest
 * of them, and the share of the time at the teacher that follows.
 */
export function summing(balance, lambda, home) {
  const n = lambda.length, values = new Float64Array(balance.length / n);
  let highest = -1, above = 0;
  for (let s = 0; s < values.length; s++) {
    for (let k = 0; k < n; k++) values[s] += lambda[k] * balance[s * n + k];
    if (s === home) continue;
    if (values[s] >= BELOW) above++;
    if (highest < 0 || values[s] > values[highest]) highest = s;
  }
  return { values, home, above, highest, share: leastShare(values[home], -values[highest]) };
}

/** Draw the sums; heights go by the square root, so that both large and small ones can be seen. */
export function drawSums(canvas, { values, home, highest, share }, data, land, stays, steps) {
  const root = (x) => Math.sign(x) * Math.sqrt(Math.abs(x)), low = root(Math.min(0, ...values));
  const high = Math.max(root(Math.max(...values)), -0.25 * low) || 1, height = (s) => (root(values[s]) - low) / (high - low);
  const marked = (s) => s !== home && values[s] >= BELOW;
  const { context, colour, across, up, level, right } = drawStates(canvas, data, land, { height, marked, stays, steps });
  const zero = level(-low / (high - low)), words = `the highest other: ${signed(values[highest])}`;
  stroke(context, colour.ink, 1.5, [LEFT, zero], [right, zero]);
  context.setLineDash([4, 3]);
  stroke(context, colour.ink, 1, [across(highest), up(highest)], [right, up(highest)]);
  context.setLineDash([]);
  context.fillStyle = colour.quiet;
  context.textAlign = "right";
  context.fillText("0", LEFT - 8, zero + 4);
  context.fillText("push ↑", LEFT - 8, zero - 16);
  context.fillText("pull ↓", LEFT - 8, zero + 24);
  context.fillStyle = colour.ink;
  disc(context, across(home), up(home), 5.5);
  tag(context, `the teacher: ${signed(values[home])}`, across(home) + 10, up(home) - (values[home] > 0 ? 5 : 9), colour.ink);
  tag(context, words, right - context.measureText(words).width, up(highest) + 15, share > 0 ? colour.ink : colour.vermillion);
  context.globalCompositeOperation = "destination-over";
  context.fillStyle = colour.shade;
  context.fillRect(LEFT, 0, right - LEFT, zero);
  context.globalCompositeOperation = "source-over";
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
