// Draws a data set, and the start of a run: the same integers as `sterling.Problem.draw` and `sterling.train`.

import { codesOf } from "./normal.js";
import { randomWords } from "./random.js";

// Which part of a draw a seed is for, as in `sterling.model.problem`.
const TEACHER = 0, NOISE = 2, INPUTS = 3, LATENT = 4;
const BLOCK = 4096;  // samples that share one stream of random bits
const PIECE = 1 << 16;  // codes, an even number, between two yields: a few milliseconds
const NOISE_CODES = 64;  // codes to one standard deviation of the label noise, at least
export const INPUT_BITS = 12;  // inputs lie on the grid 2^-12

/** Where μ′ is 1: low ≤ a ≤ high for pre-activations a in units of 2^-12, exactly. */
const WINDOWS = {
  relu: () => [1, Infinity],
  identity: () => [-Infinity, Infinity],
  clipped_relu: (unit) => [1, rootBelow(unit - 1)],
  hard_tanh: (unit) => [-rootBelow(unit), rootBelow(unit)],
};
export const SURROGATES = Object.keys(WINDOWS);

/** The whole part of √x, for whole numbers x below 2^53. */
function rootBelow(x) {
  let root = Math.floor(Math.sqrt(x));
  while (root * root > x) root--;
  while ((root + 1) * (root + 1) <= x) root++;
  return root;
}

export function windowOf(surrogate, n) {
  return WINDOWS[surrogate](n * 4 ** INPUT_BITS);
}

/** The nearest integer, ties to the even one. */
function rounded(x) {
  const low = Math.floor(x), over = x - low;
  return over < 0.5 || (over === 0.5 && low % 2 === 0) ? low : low + 1;
}

function signsOf(seed, part, count) {
  const words = randomWords(seed, part, count);
  return Int8Array.from({ length: count }, (_, k) => 1 - 2 * (words[2 * k + 1] >>> 31));
}

/**
 * Draw a data set with Gaussian inputs and a readout of ones; a generator that yields now and then, so that a
 * page stays alive, and returns the data.
 *
 * `rows` holds the codes row by row (row i·m + j is unit j of sample i), `columns` the same column by column.
 */
export function* drawing({ n, samples, m, noise, seed }) {
  const height = samples * m;
  const rows = new Int16Array(height * n);
  for (let block = 0, first = 0; first < samples; block++, first += BLOCK) {
    const end = Math.min(first + BLOCK, samples) * m * n, codes = codesOf(seed, [INPUTS, block]);
    for (let from = first * m * n; from < end; from += PIECE) {
      codes(Math.min(PIECE, end - from), rows, from);
      yield;
    }
  }
  const columns = new Int16Array(height * n), often = Math.ceil(PIECE / n);  // rows between two yields
  for (let r = 0; r < height; r++) {
    for (let k = 0; k < n; k++) columns[k * height + r] = rows[r * n + k];
    if (r % often === often - 1) yield;
  }
  const teacher = signsOf(seed, [TEACHER], n);
  let bits = 0;
  while (noise > 0 && 2 ** bits < NOISE_CODES / noise) bits++;
  const labels = new Int32Array(samples), fine = new Int16Array(BLOCK);
  for (let i = 0; i < samples; i++) {
    let active = 0;
    for (let r = i * m; r < (i + 1) * m; r++) {
      let sum = 0;
      for (let k = 0; k < n; k++) sum += teacher[k] * rows[r * n + k];
      if (sum > 0) active++;
    }
    if (noise > 0 && i % BLOCK === 0) codesOf(seed, [NOISE, i / BLOCK])(BLOCK, fine);
    const error = noise > 0 ? rounded(fine[i % BLOCK] * (noise * 2 ** bits / 4096)) : 0;
    labels[i] = active * 2 ** bits + error;
    if (i * m % often < m) yield;
  }
  return { n, m, samples, noise, seed, rows, columns, labels, teacher, bits, unit: samples * 2 ** (INPUT_BITS + bits) };
}

/** The same in one go. */
export function draw(problem) {
  const work = drawing(problem);
  let step = work.next();
  while (!step.done) step = work.next();
  return step.value;
}

/** Latents u_0 ~ N(0, 1/n) of a seed. */
export function initialLatent(n, seed) {
  const codes = codesOf(seed, [LATENT, 0])(n, new Int16Array(n));
  const words = randomWords(seed, [LATENT, 1], n);
  const scale = 1 / 4096 / Math.sqrt(n);
  return Float64Array.from(codes, (code, k) => {
    const within = (words[2 * k + 1] * 2097152 + (words[2 * k] >>> 11)) / 9007199254740992 - 0.5;
    return (code + within) * scale;
  });
}
