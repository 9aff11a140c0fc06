// The time average of each weight as a bar from −1 to 1.

import { cleared, palette } from "./canvas.js";

/** Averages within ± this are shown as undecided. */
export const UNDECIDED = 0.2;

/** Draw averages (null before the first step); `shares` are the predicted shares of wrong steps, or null. */
export function drawBars(canvas, averages, teacher, shares) {
  const { context, width, height } = cleared(canvas), n = teacher.length, colour = palette();
  const top = 4, bottom = height - 20, margin = 12;
  const row = Math.min(26, (bottom - top) / n), middle = width / 2, reach = middle - margin;
  const thick = row > 6 ? row - Math.min(6, 0.3 * row) : row;
  context.strokeStyle = colour.line;
  context.lineWidth = 1;
  for (const x of [-1, -0.5, 0.5, 1]) {
    context.beginPath();
    context.moveTo(middle + x * reach, top);
    context.lineTo(middle + x * reach, top + row * n);
    context.stroke();
  }
  for (let k = 0; k < n; k++) {
    const y = top + k * row + (row - thick) / 2, mean = averages ? averages[k] : 0;
    const agrees = mean * teacher[k] > 0;
    context.fillStyle = Math.abs(mean) < UNDECIDED ? colour.grey : agrees ? colour.blue : colour.vermillion;
    if (averages) context.fillRect(Math.min(middle, middle + mean * reach), y, Math.max(1, Math.abs(mean) * reach), thick);
    if (shares && shares[k] < 1 && row > 4) {
      const x = middle + (1 - 2 * shares[k]) * teacher[k] * reach;
      context.fillStyle = colour.ink;
      context.fillRect(x - 1.25, y - 1.5, 2.5, thick + 3);
    }
  }
  context.strokeStyle = colour.quiet;
  context.beginPath();
  context.moveTo(middle, top - 2);
  context.lineTo(middle, top + row * n + 2);
  context.stroke();
  context.fillStyle = colour.quiet;
  context.textAlign = "center";
  const line = Math.min(height - 5, top + row * n + 16);
  context.fillText("−1", middle - reach, line);
  context.fillText("0", middle, line);
  context.fillText("1", middle + reach, line);
}
