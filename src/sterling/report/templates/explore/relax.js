// How damped latents move while no weight turns: `sterling.exact.relaxation` and `sterling.dynamics.motion`, operation by
// operation. With the clock L = −Σ log(1 − η_t κ) and M = (1 − e^−L)/κ, u_t = u_a − M·F with F = G − κb + κu_a, κ = θS.

import { powerMass, powNeg, tableMass } from "./mass.js";

const DIRECT = 64;  // terms below this step are added one by one
const HIGHEST = 16;
const CLOSE = 1 / 4096;
const SMALL = 2 ** -57;
const FULL = 40;
const LN2_HIGH = 0.6931471803691238, LN2_LOW = 1.9082149292705877e-10, INVERSE_LN2 = 1.4426950408889634;
const ODD = Array.from({ length: 17 }, (_, k) => 2 / (2 * k + 1));
const EXPONENTIAL = [];
for (let k = 1, factorial = 1; k <= 14; k++) {
  factorial *= k;
  EXPONENTIAL.push(1 / factorial);
}

/** −log(1 − x) for 0 ≤ x < 1/2. */
function decay(x) {
  const s = x / (2 - x), z = s * s, z2 = z * z, z4 = z2 * z2, c = ODD;
  const first = (c[0] + c[1] * z) + (c[2] + c[3] * z) * z2;
  const second = (c[4] + c[5] * z) + (c[6] + c[7] * z) * z2;
  const third = (c[8] + c[9] * z) + (c[10] + c[11] * z) * z2;
  const fourth = (c[12] + c[13] * z) + (c[14] + c[15] * z) * z2;
  return s * ((first + second * z4) + ((third + fourth * z4) + c[16] * (z4 * z4)) * (z4 * z4));
}

/** 1 − e^−clock for clock ≥ 0. */
function spent(clock) {
  if (clock > FULL) return 1;
  const k = Math.floor(clock * INVERSE_LN2 + 0.5), c = EXPONENTIAL;
  const r = (clock - k * LN2_HIGH) - k * LN2_LOW, r2 = r * r, r4 = r2 * r2;
  const first = (c[0] - c[1] * r) + (c[2] - c[3] * r) * r2;
  const second = (c[4] - c[5] * r) + (c[6] - c[7] * r) * r2;
  const third = (c[8] - c[9] * r) + (c[10] - c[11] * r) * r2;
  const gone = r * ((first + second * r4) + (third + (c[12] - c[13] * r) * r4) * (r4 * r4));
  if (k === 0) return gone;
  let part = 1;
  for (let i = 0; i < k; i++) part /= 2;
  return (1 - part) + part * gone;
}

/** Σ −log(1 − rate·(t + 1)^−p) over t0 ≤ t < t1. */
function dampedClock(rate, p, t0, t1) {
  let total = 0, start = t0;
  while (start < t1 && start < DIRECT) {
    start += 1;
    total += decay(rate * powNeg(start, p));
  }
  if (start >= t1) return total;
  const d = t1 - start, centre = 0.5 * (start + t1 + 1);
  if (d < CLOSE * centre || d === 1) {
    const x = rate * powNeg(centre, p), free = 1 / (1 - x);
    const bend = p * x * free * (p + 1 + p * x * free);
    return total + d * (decay(x) + bend * (d * d - 1) / (24 * (centre * centre)));
  }
  let factor = 1, j = 0;
  while ((j + 1) * p <= HIGHEST) {
    j += 1;
    factor *= rate;
    const term = factor / j * powerMass(1, j * p, start, t1);
    total += term;
    if (term < SMALL * total) break;
  }
  return total;
}

/** The motion of damped latents for a schedule; `hold` is κ = θS. It stands where `Masses` stands for plain ones. */
export class Relaxation {
  constructor(masses, hold) {
    this.masses = masses;
    this.hold = hold;
    this.rate = masses.table || masses.exponent === 0 ? decay(masses.rate * hold) : masses.rate * hold;
    if (masses.table) {
      const size = masses.sums.length / 2, sums = masses.sums;
      this.sums = new Float64Array(2 * size);
      for (let i = 1, total = 0, carry = 0; i < size; i++) {
        const rate = (sums[i] - sums[i - 1]) + (sums[size + i] - sums[size + i - 1]);
        const part = decay(rate * hold) + carry, sum = total + part;
        carry = part - (sum - total);
        total = sum;
        this.sums[i] = total;
        this.sums[size + i] = carry;
      }
    }
  }

  clock(t0, t1) {
    const { masses, rate } = this;
    if (masses.table) return tableMass(rate, this.sums, t0, t1);
    return masses.exponent === 0 ? rate * (t1 - t0) : dampedClock(rate, masses.exponent, t0, t1);
  }

  /** M over t0 ≤ t < t1. */
  between(t0, t1) {
    return spent(this.clock(t0, t1)) / this.hold;
  }

  /** About the step at which M reaches `target`. */
  guess(t0, target) {
    const share = this.hold * target;
    return share < 1 ? this.masses.guess(t0, -Math.log1p(-share) / this.hold) : Infinity;
  }
}
