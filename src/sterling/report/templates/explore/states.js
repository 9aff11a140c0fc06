// A picture of all states: a dot each, with the number of its wrong bits to the right and a quantity upwards.

import { cleared, disc, palette } from "./canvas.js";
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
  const dot = n > 9 ? 1.6 : 2.6;
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
