// What can be said of a run without one: formulas of `sterling.theory`, mean-field where not said otherwise.

import { normalBelow } from "./normal.js";
import { Gradients } from "./gradient.js";

const PEAK = 1 / Math.sqrt(2 * Math.PI);
const ENDS = {  // of the window of μ′: −low and high
  relu: [0, Infinity],
  identity: [Infinity, Infinity],
  clipped_relu: [0, 1],
  hard_tanh: [1, 1],
};

const below = (x) => (x >= 0 ? normalBelow(x) : 1 - normalBelow(-x));

/** S, the mean pull on one wrong weight while all others are right; exact for Gaussian inputs. */
export function signal(n, m, surrogate) {
  const c = 1 - 2 / n, s = Math.sqrt((1 - c) * (1 + c));
  let sum = 0;
  for (const x of ENDS[surrogate]) {
    if (x === 0) continue;
    if (x === Infinity) {
      sum += PEAK;
      continue;
    }
    const ratio = s > 0 ? x / s : Infinity;
    sum += PEAK / 2 - PEAK * Math.exp(-x * x / 2) * below(-c * ratio) + PEAK * (below(ratio) - 0.5);
  }
  return m / Math.sqrt(n) * sum;
}

/**
 * The share of the steps in which each weight is wrong, and the occupancy, the share of the steps at the teacher:
 * p_k = max(0, b*_k G_k(w*))/S and Π (1 − p_k), to leading order (docs/science, 7).
 */
export function expectation(data, surrogate) {
  const gradients = new Gradients(data, surrogate), pull = signal(data.n, data.m, surrogate);
  const at = gradients.at(data.teacher, gradients.keyOf(data.teacher));
  let occupancy = 1, absorbs = true;
  const shares = Float64Array.from(data.teacher, (sign, k) => {
    const push = sign * gradients.values[at + k];
    if (push > 0) absorbs = false;
    const share = Math.min(1, Math.max(0, push / pull));
    occupancy *= 1 - share;
    return share;
  });
  return { shares, occupancy, absorbs };
}

/**
 * The share of wrong weights that keeps itself alive without label noise, 0.13·α^(−2/3) to leading order (docs/science,
 * 8), with α the samples that the surrogate reads for each weight; null where that was not compared with runs.
 */
export function chatterShare({ n, samples, m, noise }, surrogate) {
  const reads = { relu: samples / 2, identity: samples }[surrogate];
  if (noise > 0 || m > 1 || n < 128 || !reads || reads < 2 * n || reads > 4.5 * n) return null;
  return 0.13 * (reads / n) ** (-2 / 3);
}
