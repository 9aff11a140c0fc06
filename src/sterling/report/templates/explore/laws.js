// What can be said of a run without one: formulas of `sterling.theory`, mean-field where not said otherwise.

import { normalBelow } from "./normal.js";
import { Gradients } from "./gradient.js";

const PEAK = 1 / Math.sqrt(2 * Math.PI);
/** The ends of the window of μ′: −low and high. */
const ENDS = {
  relu: [0, Infinity],
  identity: [Infinity, Infinity],
  clipped_relu: [0, 1],
  hard_tanh: [1, 1],
};

/** Φ(x). */
const below = (x) => (x >= 0 ? normalBelow(x) : 1 - normalBelow(-x));

/** α and β in E G(w) = ‖v‖² (α w − β w*) at the correlation c of w and w*; exact for Gaussian inputs. */
function coefficients(c, surrogate) {
  const s = Math.sqrt((1 - c) * (1 + c));
  let alpha = 0, beta = 0;
  for (const x of ENDS[surrogate]) {
    if (x === 0) continue;
    const ratio = s > 0 ? x / s : Infinity;
    alpha += PEAK / 2 - (x < Infinity ? PEAK * Math.exp(-x * x / 2) * below(-c * ratio) : 0);
    beta += PEAK * (below(ratio) - 0.5);
  }
  return [alpha, beta];
}

/** S, the mean pull on one wrong weight while all others are right. */
export function signal(n, m, surrogate) {
  const [alpha, beta] = coefficients(1 - 2 / n, surrogate);
  return m / Math.sqrt(n) * (alpha + beta);
}

/**
 * The share of the steps in which each weight is wrong, and the occupancy, the share of the steps at the teacher:
 * p_k = max(0, b*_k G_k(w*))/S and Π (1 − p_k), to leading order (docs/science, 7).
 */
export function expectation(data, surrogate, damping = 0) {
  const gradients = new Gradients(data, surrogate), pull = signal(data.n, data.m, surrogate), hold = damping * pull;
  const at = gradients.at(data.teacher, gradients.keyOf(data.teacher));
  let occupancy = 1, absorbs = true;
  const shares = Float64Array.from(data.teacher, (sign, k) => {
    const push = sign * gradients.values[at + k];
    if (push > hold) absorbs = false;
    const share = Math.min(1, Math.max(0, push / pull));
    occupancy *= 1 - share;
    return share;
  });
  return { shares, occupancy, absorbs };
}
