// Pictures of all states: a dot each, with the number of its wrong bits to the right and a quantity upwards; the landscape
// has the loss.

import { cleared, disc, needsDrawing, palette, stroke } from "./canvas.js";
import { brief } from "./chart.js";
import { hovered } from "./hover.js";

export const LEFT = 54;  // CSS pixels around the dots
const TOP = 20, RIGHT = 14, BOTTOM = 46;

/** Where in its column a state stands, from −0.4 to 0.4: by its number, spread evenly. */
const aside = (state) => ((Math.imul(state + 1, 0x9e3779b1) >>> 0) / 4294967296 - 0.5) * 0.72;

/**
 * Draw the states, and discs where a run has been: `stays` holds its steps at each. `height(s)` is from 0 to 1. Dots have
 * the colour of wrong ones where `marked(s)`, or where the weight that is pointed at is wrong. Returns what draws on.
 */
export function drawStates(canvas, { n, teacher }, { distances }, { height, marked, stays, steps }) {
  const drawn = cleared(canvas), { context } = drawn, colour = palette(), k = hovered(), count = 2 ** n;
  const right = drawn.width - RIGHT, bottom = drawn.height - BOTTOM, room = (right - LEFT) / (n + 1);
  const across = (s) => LEFT + (distances[s] + 0.5 + (distances[s] % n ? aside(s) : 0)) * room;
  const level = (share) => bottom - share * (bottom - TOP), up = (s) => level(height(s));
  context.fillStyle = colour.quiet;
  context.textAlign = "center";
  for (let d = 0; d <= n; d += n > 8 && drawn.width < 500 ? 2 : 1) context.fillText(d, LEFT + (d + 0.5) * room, drawn.height - 21);
  context.fillText("wrong bits", (LEFT + right) / 2, drawn.height - 4);
  context.globalAlpha = n > 9 ? 0.5 : 0.7;
  const dot = n > 9 ? 1.6 : n > 5 ? 2.6 : 5;
  for (let s = 0; s < count; s++) {
    const off = k >= 0 ? ((s >> k) & 1 ? 1 : -1) !== teacher[k] : marked(s), size = marked(s) ? 2 * dot : dot;
    context.fillStyle = off ? colour.vermillion : colour.grey;
    context.fillRect(across(s) - size / 2, up(s) - size / 2, size, size);
  }
  context.globalAlpha = 0.75;
  context.fillStyle = colour.blue;
  for (let s = 0; s < count; s++) {
    if (stays[s] > 0) disc(context, across(s), up(s), 2.5 + 12 * Math.sqrt(stays[s] / Math.max(1, steps)));
  }
  context.globalAlpha = 1;
  return { context, colour, across, up, level, right };
}

/** Draw the landscape of a run's data, with the run walking over it. */
export function drawField(canvas, { data, stays, step, key }, land) {
  const count = 2 ** data.n, now = key.words[0];
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
  const drawn = drawStates(canvas, data, land, { height, marked: () => false, stays, steps: step });
  const { context, colour, across, up, level } = drawn;
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
  context.fillStyle = colour.ink;
  context.strokeStyle = colour.surface;
  context.lineWidth = 2;
  disc(context, across(now), up(now), 5.5);
  context.stroke();
  return label;
}
