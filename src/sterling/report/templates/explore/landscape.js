// All 2ⁿ states of a small data set: their losses, their gradients, and those that no run can leave.

import { Gradients } from "./gradient.js";

/** Dimensions up to which this is done. */
export const MOST_WEIGHTS = 12;

/**
 * Go through all states in the order of a Gray code; a generator that yields now and then and returns {balance, distances,
 * absorbing, loss}, each by the number of a state, whose bit k says that weight k is +1. `balance` holds B′_k of state s
 * from s·n on (see `certificate.js`). A state where no push is above `hold`, which is θS, absorbs.
 */
export function* sweeping(data, surrogate, hold = 0) {
  const { n, teacher } = data, count = 2 ** n, { sums } = new Gradients(data, surrogate);
  const squares = new Float64Array(count), balance = new Float64Array(count * n);
  const distances = new Uint8Array(count), absorbing = [];
  const signs = new Int8Array(n).fill(-1);
  let state = 0;
  for (let i = 0; ; ) {
    const found = sums.moveTo(signs);
    squares[state] = sums.square;
    let held = true;
    for (let k = 0; k < n; k++) {
      const push = signs[k] * found[k] / data.unit, wrong = signs[k] !== teacher[k];
      balance[state * n + k] = wrong ? -push : Math.max(0, push);
      if (push > hold) held = false;
      if (wrong) distances[state]++;
    }
    if (held) absorbing.push(state);
    if (++i === count) break;
    let k = 0;
    while (!((i >> k) & 1)) k++;
    signs[k] = -signs[k];
    state ^= 1 << k;
    if (i % 32 === 0) yield;
  }
  return { balance, distances, absorbing, loss: (s) => squares[s] / (2 * data.samples * 4 ** data.bits) };
}

/** The number of the state with these signs. */
export const numberOf = (signs) => signs.reduce((sum, sign, k) => (sign > 0 ? sum + 2 ** k : sum), 0);
