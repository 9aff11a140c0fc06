// Scales with two pans: what pushes latent weights out on the left, what pulls them home on the right.

import { cleared, palette } from "./canvas.js";

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
  context.strokeStyle = colour.quiet;
  context.lineWidth = 3;
  context.beginPath();
  context.moveTo(middle, TOP);
  context.lineTo(middle, foot);
  context.moveTo(middle - 34, foot);
  context.lineTo(middle + 34, foot);
  context.stroke();
  const across = arm * Math.cos(angle), down = arm * Math.sin(angle);
  [-1, 1].forEach((side, i) => {
    const x = middle + side * across, y = TOP + side * down, pan = y + DROP;
    context.strokeStyle = colour.quiet;
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(x - PAN, pan);
    context.lineTo(x, y);
    context.lineTo(x + PAN, pan);
    context.stroke();
    const tall = HIGHEST * Math.min(1, loads[i] / (full || 1));
    context.fillStyle = i ? colour.vermillion : colour.blue;
    context.fillRect(x - BLOCK / 2, pan - 1.5 - tall, BLOCK, tall);
    context.strokeStyle = colour.ink;
    context.lineWidth = 3;
    context.beginPath();
    context.moveTo(x - PAN, pan);
    context.lineTo(x + PAN, pan);
    context.stroke();
  });
  context.strokeStyle = colour.ink;
  context.lineWidth = 4;
  context.beginPath();
  context.moveTo(middle - across, TOP - down);
  context.lineTo(middle + across, TOP + down);
  context.stroke();
  context.fillStyle = colour.ink;
  context.beginPath();
  context.arc(middle, TOP, 5.5, 0, 7);
  context.fill();
  context.textAlign = "center";
  words.forEach(([name, sum], i) => {
    const x = middle + (i ? 1 : -1) * Math.max(arm, 60);
    context.fillStyle = colour.ink;
    context.fillText(name, x, height - 20);
    context.fillStyle = colour.quiet;
    context.fillText(sum, x, height - 4);
  });
}
