// Scales with two pans: what pushes latent weights out on the left, what pulls them home on the right.

import { cleared, disc, palette, stroke } from "./canvas.js";

const TOP = 40, DROP = 104, PAN = 46, STEEPEST = 0.24;  // CSS pixels, and radians
const HIGHEST = 78, BLOCK = 56;  // of a load

/** The angle at which the beam comes to rest, positive where the right pan sinks. */
export const restingAngle = ([left, right], full) => STEEPEST * Math.tanh(4 * (right - left) / (full || 1));

/**
 * Draw scales at an angle. `loads` are two numbers that are not negative, `full` the load that fills a pan, `words` what
 * stands below each pan. `sinks` says whether the right pan may sink.
 */
export function drawScales(canvas, angle, loads, full, words) {
  const { context, width, height } = cleared(canvas), colour = palette();
  const middle = width / 2, arm = Math.min(0.29 * width, 140), foot = height - 44;
  context.lineCap = "round";
  stroke(context, colour.quiet, 3, [middle, TOP], [middle, foot]);
  stroke(context, colour.quiet, 3, [middle - 34, foot], [middle + 34, foot]);
  const across = arm * Math.cos(angle), down = arm * Math.sin(angle);
  [-1, 1].forEach((side, i) => {
    const x = middle + side * across, y = TOP + side * down, pan = y + DROP;
    stroke(context, colour.quiet, 1, [x - PAN, pan], [x, y], [x + PAN, pan]);
    const tall = HIGHEST * Math.min(1, loads[i] / (full || 1));
    context.fillStyle = i ? colour.vermillion : colour.blue;
    context.fillRect(x - BLOCK / 2, pan - 1.5 - tall, BLOCK, tall);
    stroke(context, colour.ink, 3, [x - PAN, pan], [x + PAN, pan]);
  });
  stroke(context, colour.ink, 4, [middle - across, TOP - down], [middle + across, TOP + down]);
  context.fillStyle = colour.ink;
  disc(context, middle, TOP, 5.5);
  context.textAlign = "center";
  words.forEach(([name, sum], i) => {
    const x = middle + (i ? 1 : -1) * Math.max(arm, 60);
    context.fillStyle = colour.ink;
    context.fillText(name, x, height - 20);
    context.fillStyle = colour.quiet;
    context.fillText(sum, x, height - 4);
  });
}
