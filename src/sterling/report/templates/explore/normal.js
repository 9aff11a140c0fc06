// The rounded normal law with 4096 codes to one standard deviation, sampled exactly: Walker's alias method on
// 32 random bits, as `sterling.exact.sampling` does it.

import { streamOf } from "./random.js";

const CODES = 65536, LOWEST = -32768, TOTAL = 4294967296;
const STEP = 1 / 4096;

/**
 * Φ(x) for x ≥ 0 by the series of erf with positive terms, to 2·10⁻¹⁶. The table below needs 10⁻¹⁵: no edge
 * lies nearer to where its rounding changes.
 */
export function normalBelow(x) {
  if (x > 8.3) return 1;
  const square = x * x;
  let term = x, sum = x;
  for (let k = 1; term > 1e-18 * sum; k++) {
    term *= square / (2 * k + 1);
    sum += term;
  }
  return 0.5 + 0.3989422804014327 * Math.exp(-0.5 * square) * sum;
}

let table = null;

/** Columns of 65536 shares: column i keeps code i − 32768 for `keep[i]` of them, the rest is `alias[i]`. */
function aliasTable() {
  if (table) return table;
  const edges = new Float64Array(CODES + 1);
  edges[CODES] = TOTAL;
  for (let i = 32769; i < CODES; i++) {
    const share = normalBelow((i + LOWEST - 0.5) * STEP);
    edges[i] = Math.round(share * TOTAL);
    edges[CODES + 1 - i] = TOTAL - edges[i];
  }
  const left = new Float64Array(CODES), keep = new Float64Array(CODES), alias = new Int32Array(CODES);
  const small = new Int32Array(CODES), large = new Int32Array(CODES);
  let smalls = 0, larges = 0;
  for (let i = 0; i < CODES; i++) {
    left[i] = edges[i + 1] - edges[i];
    if (left[i] < CODES) small[smalls++] = i;
    else large[larges++] = i;
  }
  while (smalls > 0 && larges > 0) {
    const poor = small[--smalls], rich = large[larges - 1];
    keep[poor] = left[poor];
    alias[poor] = rich + LOWEST;
    left[rich] -= CODES - left[poor];
    if (left[rich] < CODES) {
      larges--;
      small[smalls++] = rich;
    }
  }
  for (let i = 0; i < larges; i++) {
    keep[large[i]] = CODES;
    alias[large[i]] = large[i] + LOWEST;
  }
  table = { keep, alias };
  return table;
}

/** The normal codes of part `part` of a seed: a function that writes the next `count`, even but for the last, to `out`. */
export function codesOf(seed, part) {
  const { keep, alias } = aliasTable(), more = streamOf(seed, part);
  return (count, out, start = 0) => {
    const words = more((count + 1) >> 1);
    for (let i = 0; i < count; i++) {
      const bits = words[i], column = bits >>> 16;
      out[start + i] = (bits & 0xffff) >= keep[column] ? alias[column] : column + LOWEST;
    }
    return out;
  };
}
