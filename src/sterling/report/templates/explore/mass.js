// Mass of the step sizes, Σ η_t over a span of steps, and its inverse: `sterling.exact.mass`, operation by operation.
// Only + − * /, sqrt and floor on float64, so the bits are those of Python. Steps stay below 2^53.

const DIRECT = 64;  // below this step terms are added one by one
const NARROW = 1 / 256;  // spans narrower than this share of their centre take two moments and one power
const RATIO = 9 / 7;
const PIECE_TERMS = 12;
const ROOT_HALF = 0.7071067811865476;
const ATANH = Array.from({ length: 12 }, (_, k) => 2.8853900817779268 / (2 * k + 1));
const EXP2 = [
  1.0, 0.6931471805599453, 0.24022650695910072, 0.05550410866482158, 0.009618129107628477,
  0.0013333558146428443, 0.0001540353039338161, 1.5252733804059841e-05, 1.321548679014431e-06,
  1.01780860092397e-07, 7.054911620801123e-09, 4.4455382718708116e-10, 2.5678435993488206e-11,
  1.3691488853904128e-12,
];

const view = new DataView(new ArrayBuffer(8));

/** x^−p for 0.5 ≤ x ≤ 2^61 and |p| ≤ 16. */
export function powNeg(x, p) {
  if (p === 0) return 1;
  if (p === 0.5) return 1 / Math.sqrt(x);
  if (p === 1) return 1 / x;
  // x = f·2^e with 1/2 ≤ f < 1, read off its bits: x is a normal number.
  view.setFloat64(0, x);
  const upper32 = view.getUint32(0);
  let e = ((upper32 >>> 20) & 0x7ff) - 1022;
  view.setUint32(0, (upper32 & 0x800fffff) | (1022 << 20));
  let f = view.getFloat64(0);
  if (f < ROOT_HALF) {
    f *= 2;
    e -= 1;
  }
  const s = (f - 1) / (f + 1), z = s * s, z2 = z * z, z4 = z2 * z2;
  let a = (ATANH[0] + ATANH[1] * z) + (ATANH[2] + ATANH[3] * z) * z2;
  let b = (ATANH[4] + ATANH[5] * z) + (ATANH[6] + ATANH[7] * z) * z2;
  let c = (ATANH[8] + ATANH[9] * z) + (ATANH[10] + ATANH[11] * z) * z2;
  const log2f = s * ((a + b * z4) + c * (z4 * z4));
  let upper = 134217729 * p;
  upper = upper - (upper - p);
  const exact = upper * e;
  const rest = (p - upper) * e + p * log2f;
  const k = Math.floor(0.5 - (exact + rest));
  const r = (-exact - k) - rest, r2 = r * r, r4 = r2 * r2;
  a = (EXP2[0] + EXP2[1] * r) + (EXP2[2] + EXP2[3] * r) * r2;
  b = (EXP2[4] + EXP2[5] * r) + (EXP2[6] + EXP2[7] * r) * r2;
  c = (EXP2[8] + EXP2[9] * r) + (EXP2[10] + EXP2[11] * r) * r2;
  const d = EXP2[12] + EXP2[13] * r;
  view.setUint32(0, (k + 1023) << 20);  // 2^k
  view.setUint32(4, 0);
  return ((a + b * r4) + (c + d * r4) * (r4 * r4)) * view.getFloat64(0);
}

/** d times the mean of x^−p over d points one apart around `centre`; times the rate, the mass of d steps. */
function narrow(p, d, centre) {
  const scale = p === 0.5 ? 1 / Math.sqrt(centre) : powNeg(centre, p);
  const inverse = 1 / (centre * centre);
  const second = p * (p + 1) * (1 / 24) * ((d * d - 1) * inverse);
  const fourth = (p + 2) * (p + 3) * (1 / 240) * ((3 * d * d - 7) * inverse);
  return d * scale * (1 + second * (1 + fourth));
}

export function powerMass(rate, p, t0, t1) {
  if (t1 <= t0) return 0;
  if (p === 0) return rate * (t1 - t0);
  let total = 0, start = t0;
  while (start < t1 && start < DIRECT) {
    start += 1;
    total += powNeg(start, p);
  }
  if (start === t1) return rate * total;
  const d = t1 - start, centre = 0.5 * (start + t1 + 1);
  if (d < NARROW * centre || d === 1) {
    total += narrow(p, d, centre);
    return rate * total;
  }
  const first = start + 0.5, last = t1 + 0.5;
  let h2 = 0, series = 1, x = first;
  while (x < last) {
    let y = x * RATIO, pieceH2 = 1 / 64;
    if (y > last) {
      y = last;
      const h = (y - x) / (y + x);
      pieceH2 = h * h;
    }
    if (pieceH2 !== h2) {
      h2 = pieceH2;
      let term = 1;
      series = 1;
      for (let k = 1; k < PIECE_TERMS; k++) {
        const even = 2 * k;
        term *= h2 * (p + even - 2) * (p + even - 1) / ((even - 1) * even);
        series += term / (even + 1);
      }
    }
    total += (y - x) * powNeg(0.5 * (x + y), p) * series;
    x = y;
  }
  let c3 = (p + 1) * (p + 2), c5 = c3 * (p + 3) * (p + 4), c7 = c5 * (p + 5) * (p + 6);
  c3 *= 7 / 5760;
  c5 *= 31 / 967680;
  c7 *= 127 / 154828800;
  let u = 1 / (first * first);
  const atFirst = powNeg(first, p) / first * (1 / 24 - u * (c3 - u * (c5 - u * c7)));
  u = 1 / (last * last);
  const atLast = powNeg(last, p) / last * (1 / 24 - u * (c3 - u * (c5 - u * c7)));
  return rate * (total + p * (atLast - atFirst));
}

export function tableMass(rate, sums, t0, t1) {
  if (t1 <= t0) return 0;
  const size = sums.length / 2, end = size - 1;
  const i = Math.min(t0, end), j = Math.min(t1, end);
  let total = (sums[j] - sums[i]) + (sums[size + j] - sums[size + i]);
  if (t1 > end) total += rate * (t1 - Math.max(t0, end));
  return total;
}

/**
 * A schedule for a readout of squared norm `norm2`: {kind: "constant", rate}, {kind: "power", rate, exponent} or
 * {kind: "table", rates}.
 */
export class Masses {
  constructor(schedule, norm2) {
    const scale = 1 / norm2;
    this.table = schedule.kind === "table";
    this.exponent = schedule.kind === "power" ? schedule.exponent : 0;
    if (this.table) {
      const rates = schedule.rates.map((rate) => rate * scale), size = rates.length + 1;
      this.rate = rates[rates.length - 1];
      this.sums = new Float64Array(2 * size);
      let total = 0, carry = 0;
      rates.forEach((rate, i) => {  // TwoSum: the sum and its exact rounding error, kept normalised
        let sum = total + rate;
        const part = sum - total;
        carry += (total - (sum - part)) + (rate - part);
        total = sum;
        sum = total + carry;
        carry -= sum - total;
        total = sum;
        this.sums[i + 1] = total;
        this.sums[size + i + 1] = carry;
      });
    } else {
      this.rate = schedule.rate * scale;
    }
  }

  /** Σ η_t over t0 ≤ t < t1. */
  between(t0, t1) {
    return this.table ? tableMass(this.rate, this.sums, t0, t1) : powerMass(this.rate, this.exponent, t0, t1);
  }

  /** A step t > t0 near which the mass from t0 on reaches `target`. */
  guess(t0, target) {
    if (this.table || !(target > 0)) return t0 + 1;
    const { exponent: p } = this, centre = t0 + 0.5, eta = this.rate * powNeg(centre, p), q = target / eta / centre;
    let d = target / eta;
    if (0 < p && p <= 0.875 && 0.1 < q && q < 1e18) {
      d = centre * (powNeg(1 + (1 - p) * q, 1 / (p - 1)) - 1);
    } else if (p !== 0 && q < 1) {
      const fourth = 1 + (0.8 * p - 0.6) * q;
      const third = 1 + (0.75 * p - 0.5) * q * fourth;
      const second = 1 + (2 * p - 1) * (1 / 3) * q * third;
      d *= 1 + 0.5 * p * q * second;
    }
    return t0 + Math.max(1, Math.ceil(d));
  }
}
