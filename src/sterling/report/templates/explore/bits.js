// Bits as squares: filled +1, hollow −1; wrong ones in another colour and crossed out, fresh flips on a
// bright ground.

import { cleared, palette } from "./canvas.js";

/** Draw signs. `wrong(k)` and `fresh(k)`, 0 to 1, say what is marked. */
export function drawBits(canvas, signs, wrong, fresh) {
  const { context, width, height } = cleared(canvas), n = signs.length, colour = palette();
  const columns = Math.ceil(Math.sqrt(n)), rows = Math.ceil(n / columns);
  const cell = Math.min(width / columns, height / rows), left = (width - cell * columns) / 2;
  const gap = cell > 14 ? 3 : cell > 8 ? 1.5 : 1, size = cell - 2 * gap, line = size > 8 ? 2 : 1;
  for (let k = 0; k < n; k++) {
    const x = left + (k % columns) * cell + gap, y = Math.floor(k / columns) * cell + gap;
    const ink = wrong(k) ? colour.vermillion : colour.ink;
    const glow = fresh(k);
    if (glow > 0) {
      const halo = Math.max(2, 1.5 * gap);
      context.globalAlpha = glow;
      context.fillStyle = colour.blue;
      context.fillRect(x - halo, y - halo, size + 2 * halo, size + 2 * halo);
      context.globalAlpha = 1;
    }
    context.fillStyle = signs[k] > 0 ? ink : colour.surface;
    context.fillRect(x, y, size, size);
    if (signs[k] < 0) {
      context.strokeStyle = ink;
      context.lineWidth = line;
      context.strokeRect(x + line / 2, y + line / 2, size - line, size - line);
    }
    if (wrong(k) && size > 8) {
      context.strokeStyle = signs[k] > 0 ? colour.surface : ink;
      context.lineWidth = line;
      context.beginPath();
      context.moveTo(x + 0.25 * size, y + 0.25 * size);
      context.lineTo(x + 0.75 * size, y + 0.75 * size);
      context.moveTo(x + 0.75 * size, y + 0.25 * size);
      context.lineTo(x + 0.25 * size, y + 0.75 * size);
      context.stroke();
    }
  }
}
