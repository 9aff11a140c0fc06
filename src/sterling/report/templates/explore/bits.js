// Bits as squares: filled +1, hollow −1; wrong ones in another colour and crossed out, fresh flips on a
// bright ground.

import { cleared, palette, stroke } from "./canvas.js";
import { hovered } from "./hover.js";

/** Where n bits are on a canvas: columns, the side of a cell and the left end. */
function placed(width, height, n) {
  const columns = Math.ceil(Math.sqrt(n)), cell = Math.min(width / columns, height / Math.ceil(n / columns));
  return { columns, cell, left: (width - cell * columns) / 2 };
}

/** The bit at a point of the canvas; −1 for none. */
export function bitAt(canvas, n, x, y) {
  const { columns, cell, left } = placed(canvas.clientWidth, canvas.clientHeight, n);
  const column = Math.floor((x - left) / cell), k = Math.floor(y / cell) * columns + column;
  return column >= 0 && column < columns && y >= 0 && k < n ? k : -1;
}

/** Draw signs beside those of the teacher; `fresh(k)`, 0 to 1, says which have just turned. */
export function drawBits(canvas, signs, teacher, fresh) {
  const { context, width, height } = cleared(canvas), n = signs.length, colour = palette();
  const { columns, cell, left } = placed(width, height, n);
  const gap = cell > 14 ? 3 : cell > 8 ? 1.5 : 1, size = cell - 2 * gap, line = size > 8 ? 2 : 1;
  for (let k = 0; k < n; k++) {
    const x = left + (k % columns) * cell + gap, y = Math.floor(k / columns) * cell + gap;
    const wrong = signs[k] !== teacher[k], ink = wrong ? colour.vermillion : colour.ink, glow = fresh(k);
    if (glow > 0 && size > 8) {
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
    if (wrong && size > 8) {
      for (const [from, to] of [[0.25, 0.75], [0.75, 0.25]]) {
        const ends = [[x + 0.25 * size, y + from * size], [x + 0.75 * size, y + to * size]];
        stroke(context, signs[k] > 0 ? colour.surface : ink, line, ...ends);
      }
    }
    if (k === hovered()) {
      context.strokeStyle = colour.ink;
      context.lineWidth = 1.5;
      context.strokeRect(x - gap + 0.5, y - gap + 0.5, cell - 1, cell - 1);
    }
  }
}
