// Draws the landscape: every state a dot, by distance from the teacher and loss, with the run walking over it.

import { disc, needsDrawing, stroke } from "./canvas.js";
import { brief } from "./chart.js";
import { drawStates, LEFT } from "./states.js";

/** `stays` holds the steps at each state, `trail` the last states, newest last. */
export function drawField(canvas, data, land, stays, trail, steps) {
  const count = 2 ** data.n, now = trail[trail.length - 1];
  const label = `${brief(count)} states by distance from the teacher and loss; the run is at distance ${land.distances[now]}`;
  if (!needsDrawing(canvas, land)) return label;
  let least = Infinity, most = 0;
  for (let s = 0; s < count; s++) {
    const loss = land.loss(s);
    if (loss < least) least = loss;
    if (loss > most) most = loss;
  }
  if (most === least) most = least + 1;
  const height = (s) => (land.loss(s) - least) / (most - least);
  const { context, colour, across, up, level } = drawStates(canvas, data, land, { height, marked: () => false, stays, steps });
  context.fillStyle = colour.quiet;
  context.textAlign = "right";
  for (const share of [0, 0.5, 1]) context.fillText((least + share * (most - least)).toFixed(2), LEFT - 6, level(share) + 4);
  context.save();
  context.translate(11, level(0.25));
  context.rotate(-Math.PI / 2);
  context.textAlign = "center";
  context.fillText("loss on the data", 0, 0);
  context.restore();
  context.strokeStyle = colour.purple;
  context.lineWidth = 2;
  for (const s of land.absorbing) {
    context.beginPath();
    context.arc(across(s), up(s), 8, 0, 7);
    context.stroke();
  }
  for (let i = 1; i < trail.length; i++) {
    context.globalAlpha = 0.15 + 0.85 * i / trail.length;
    stroke(context, colour.amber, 1.75, ...[trail[i - 1], trail[i]].map((s) => [across(s), up(s)]));
  }
  context.globalAlpha = 1;
  context.fillStyle = colour.ink;
  context.strokeStyle = colour.surface;
  context.lineWidth = 2;
  disc(context, across(now), up(now), 5.5);
  context.stroke();
  return label;
}
