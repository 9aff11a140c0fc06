// A proof of recurrence for one data set with few weights, found here: `sterling.certify` (docs/science, 13).
//
// Let D be the set of wrong weights and B′_k(D) = b*_k G_k(D) for k in D, its positive part for k outside. Whatever the
// start and the (bounded, non-summable) step sizes, the shares of mass π(D) of a long run have Σ π(D) B′_k(D) ≥ 0 for
// all k. Minimising the share of the teacher, π(∅), over all π like that is a linear program; numbers λ_k ≥ 0 with
// 1{D = ∅} − Σ λ_k B′_k(D) ≥ c for all D prove that it is at least c, however they were found.

import { numberOf } from "./landscape.js";

const ENOUGH = 1e-10;  // of a reduced cost
const ROUNDS = 2000;
const PENALTY = 1e3;  // of the artificial variable; costs lie between −1 and 1
const ROUNDING = 1e-9;  // taken off what is claimed, far more than sums of n ≤ 12 products can be off

/** The least of cost(D) − Σ λ_k B′_k(D) over all D, and the state where it is. */
function least(n, balance, cost, dual) {
  let value = Infinity, state = -1;
  for (let s = 0; s * n < balance.length; s++) {
    let own = cost(s);
    for (let k = 0; k < n; k++) own -= dual[k] * balance[s * n + k];
    if (own < value) [value, state] = [own, s];
  }
  return { value, state };
}

/** Minimise Σ cost(D) π(D) over all admissible π, by the simplex method; returns its dual numbers λ. */
function* minimising(n, balance, cost) {
  const count = balance.length / n, size = n + 1;
  // Columns: states; count + k is the surplus of row k, count + n the artificial one. Row n says that Σ π = 1.
  const basis = Array.from({ length: size }, (_, i) => count + i);
  const inverse = Array.from({ length: size }, (_, i) => Float64Array.from({ length: size }, (_, j) => (i !== j ? 0 : i < n ? -1 : 1)));
  const values = new Float64Array(size);
  values[n] = 1;
  const price = (j) => (j < count ? cost(j) : j === count + n ? PENALTY : 0);
  const dual = new Float64Array(size), step = new Float64Array(size);
  for (let round = 0; round < ROUNDS; round++) {
    dual.fill(0);
    for (let i = 0; i < size; i++) {
      const own = price(basis[i]);
      if (own !== 0) for (let j = 0; j < size; j++) dual[j] += own * inverse[i][j];
    }
    const found = least(n, balance, cost, dual);
    let best = found.value - dual[n], enters = found.state;
    for (let k = 0; k < n; k++) {
      if (dual[k] < best) {
        best = dual[k];
        enters = count + k;
      }
    }
    if (best >= -ENOUGH) break;
    step.fill(0);
    for (let i = 0; i < size; i++) {
      if (enters < count) {
        for (let k = 0; k < n; k++) step[i] += inverse[i][k] * balance[enters * n + k];
        step[i] += inverse[i][n];
      } else {
        step[i] = -inverse[i][enters - count];
      }
    }
    let leaves = -1, ratio = Infinity;
    for (let i = 0; i < size; i++) {
      if (step[i] <= ENOUGH) continue;
      const own = Math.max(0, values[i]) / step[i];
      // Ties, of which the start is full, go by the larger pivot.
      if (own < ratio - 1e-14 || (own <= ratio + 1e-14 && leaves >= 0 && step[i] > step[leaves])) {
        ratio = Math.min(ratio, own);
        leaves = i;
      }
    }
    if (leaves < 0) break;
    const pivot = step[leaves], row = inverse[leaves];
    for (let j = 0; j < size; j++) row[j] /= pivot;
    values[leaves] = Math.max(0, values[leaves]) / pivot;
    for (let i = 0; i < size; i++) {
      if (i === leaves || step[i] === 0) continue;
      for (let j = 0; j < size; j++) inverse[i][j] -= step[i] * row[j];
      values[i] -= step[i] * values[leaves];
    }
    basis[leaves] = enters;
    if (round % 8 === 7) yield;
  }
  return Array.from(dual.subarray(0, n), (x) => Math.max(0, x));
}

/** What dual numbers prove. */
const proved = (...all) => least(...all).value - ROUNDING;

/**
 * Prove what can be proved of a data set; a generator that returns {occupancy, wrong, absorbs, dual, balance}: a lower bound of
 * the share of mass at the teacher, an upper one of that in which each weight is wrong, whether the teacher absorbs, the
 * factors λ of the first bound, and the B′ of all states.
 */
export function* certifying(data, land) {
  const { n, teacher } = data, { balance } = land, home = numberOf(teacher);
  const there = (s) => (s === home ? 1 : 0);
  const dual = yield* minimising(n, balance, there);
  const wrong = [];
  for (let k = 0; k < n; k++) {
    const right = (s) => (((s >> k) & 1 ? 1 : -1) === teacher[k] ? 0 : -1);
    wrong.push(Math.min(1, -proved(n, balance, right, yield* minimising(n, balance, right))));
  }
  return {
    occupancy: Math.max(0, proved(n, balance, there, dual)),
    wrong,
    absorbs: land.absorbing.includes(home),
    dual,
    balance,
  };
}
