// Draws the landscape: every state a dot, by distance from the teacher and loss, with the run walking over it.

import { cleared, needsDrawing, palette } from "./canvas.js";
import { brief } from "./chart.js";
import { hovered } from "./hover.js";

const LEFT = 54, BOTTOM = 46, TOP = 12, RIGHT = 14;

/** Where in its column a state stands, from −0.4 to 0.4: by its number, spread evenly. */
export const aside = (state) => ((Math.imul(state + 1, 0x9e3779b1) >>> 0) / 4294967296 - 0.5) * 0.72;

/**
 * `stays` holds the steps at each state, `trail` the last states, newest last. Where the weight that is pointed at is
 * wrong, dots have the colour of wrong ones.
 */
export function drawField(canvas, data, land, stays, trail, steps) {
  const { n, teacher } = data, count = 2 ** n, now = trail[trail.length - 1];
  const label = `${brief(count)} states by distance from the teacher and loss; the run is at distance ${land.distances[now]}`;
  if (!needsDrawing(canvas, land)) return label;
  const { context, width, height } = cleared(canvas), colour = palette(), k = hovered();
  let least = Infinity, most = 0;
  for (let s = 0; s < count; s++) {
    const loss = land.loss(s);
    if (loss < least) least = loss;
    if (loss > most) most = loss;
  }
  if (most === least) most = least + 1;
  const right = width - RIGHT, bottom = height - BOTTOM;
  const across = (s) => {
    const d = land.distances[s], room = (right - LEFT) / (n + 1);
    return LEFT + (d + 0.5) * room + (d > 0 && d < n ? aside(s) * room : 0);
  };
  const up = (s) => bottom - (land.loss(s) - least) / (most - least) * (bottom - TOP);
  context.fillStyle = colour.quiet;
  context.textAlign = "center";
  for (let d = 0; d <= n; d += n > 8 && width < 500 ? 2 : 1) {
    context.fillText(d, LEFT + (d + 0.5) * (right - LEFT) / (n + 1), height - 21);
  }
  context.fillText("bits that differ from the teacher’s", (LEFT + right) / 2, height - 4);
  context.textAlign = "right";
  for (const share of [0, 0.5, 1]) {
    context.fillText((least + share * (most - least)).toFixed(2), LEFT - 6, bottom - share * (bottom - TOP) + 4);
  }
  context.save();
  context.translate(11, (TOP + 3 * bottom) / 4);
  context.rotate(-Math.PI / 2);
  context.textAlign = "center";
  context.fillText("loss on the data", 0, 0);
  context.restore();
  context.globalAlpha = n > 9 ? 0.45 : 0.7;
  const dot = n > 9 ? 1.5 : 2.5;
  for (let s = 0; s < count; s++) {
    context.fillStyle = k >= 0 && ((s >> k) & 1 ? 1 : -1) !== teacher[k] ? colour.vermillion : colour.grey;
    context.fillRect(across(s) - dot / 2, up(s) - dot / 2, dot, dot);
  }
  context.globalAlpha = 0.75;
  context.fillStyle = colour.blue;
  for (let s = 0; s < count; s++) {
    if (!stays[s]) continue;
    context.beginPath();
    context.arc(across(s), up(s), 2.5 + 14 * Math.sqrt(stays[s] / Math.max(1, steps)), 0, 7);
    context.fill();
  }
  context.globalAlpha = 1;
  context.strokeStyle = colour.vermillion;
  context.lineWidth = 2;
  for (const s of land.absorbing) {
    context.beginPath();
    context.arc(across(s), up(s), 8, 0, 7);
    context.stroke();
  }
  context.strokeStyle = colour.amber;
  context.lineWidth = 1.75;
  for (let i = 1; i < trail.length; i++) {
    context.globalAlpha = 0.15 + 0.85 * i / trail.length;
    context.beginPath();
    context.moveTo(across(trail[i - 1]), up(trail[i - 1]));
    context.lineTo(across(trail[i]), up(trail[i]));
    context.stroke();
  }
  context.globalAlpha = 1;
  context.fillStyle = colour.ink;
  context.strokeStyle = colour.surface;
  context.lineWidth = 2;
  context.beginPath();
  context.arc(across(now), up(now), 5.5, 0, 7);
  context.fill();
  context.stroke();
  return label;
}
