// The mean-field prediction of `sterling.theory.balance` for a long run, by the same steps: the shares of time that
// balance the mean gradients near the teacher. Constants and reasons are in Python: recurrence.py, response.py, shares.py.

import { Gradients } from "./gradient.js";
import { below, coefficients, ENDS } from "./laws.js";
import { randomWords } from "./random.js";

/** Dimensions up to which this is done. */
export const MOST_BALANCED = 64;

const ROUNDS = 1000, STEP = 0.2, RENEW = 4, CLOSE = 1e-10;  // of the iteration for the shares
const DRAWS = 200, TURNS = 4;  // of the correction by exact gradients
const PASSES = 3, MOST = 0.999, STEEP = 5, FINE = 1e-14;  // of how wrong weights cluster
const PANELS = 10000;  // of a quadrature

const clipped = (x) => Math.min(1, Math.max(0, x));
const total = (numbers) => numbers.reduce((sum, x) => sum + x, 0);
const expected = (law, of) => total(law.map((x, d) => x * of(d))) / total(law);
const product = (numbers) => numbers.reduce((all, x) => all * x, 1);

/** The rows, each times its weight, added up. */
function mixed(weights, rows) {
  const out = new Float64Array(rows.length);
  rows.forEach((row, l) => {
    if (weights[l] !== 0) for (let k = 0; k < out.length; k++) out[k] += weights[l] * row[k];
  });
  return out;
}

/**
 * Predict {shares, occupancy}; a generator that yields now and then. It returns null where flips of single weights are
 * not undone on average, where most weights would be wrong for most of the time, and where no shares are found.
 */
export function* balancing(data, surrogate) {
  const { n, teacher, unit } = data, { sums } = new Gradients(data, surrogate);
  const exact = (wrong) => {
    const found = sums.moveTo(teacher.map((sign, k) => (wrong[k] ? -sign : sign)));
    return Float64Array.from(teacher, (sign, k) => sign * found[k] / unit);
  };
  const push = exact([]), noise2 = sums.square / data.samples / 4 ** data.bits, change = [];
  for (let l = 0; l < n; l++) {
    change.push(exact(push.map((_, k) => k === l)).map((x, k) => x - push[k]));
    yield;
  }
  const response = responseOf(push, change, surrogate, ownPart(data, surrogate, noise2));
  const { across, level, member } = response, missed = new Map(), rank = [], words = randomWords(0, [], DRAWS * n);
  const random = (i) => (words[2 * i + 1] * 2 ** 21 + (words[2 * i] >>> 11)) / 2 ** 53;
  if (response.pull <= 0) return null;
  [...push.keys()].sort((k, l) => push[k] - push[l]).forEach((k, index) => { rank[k] = index; });
  let extra = push.map(() => 0), found = yield* solving(response, extra);
  for (let turn = 0; turn < TURNS; turn++) {
    // The mean error of the prediction over states that are drawn from it is added to the balance.
    const tilt = tiltOf(found.shares, found.occupancy), mean = push.map(() => 0);
    let weight = 0;
    for (let draw = 0; draw < DRAWS; draw++) {
      const wrong = rank.map((index, k) => Number(random(draw * n + index) < found.shares[k]));
      const d = total(wrong), key = wrong.join("");
      weight += tilt[d];
      if (d < 2) continue;  // exact there
      if (!missed.has(key)) {
        const members = mixed(wrong, across), there = exact(wrong);
        missed.set(key, there.map((x, k) => x - push[k] - level(k, wrong[k], d) - member(wrong[k], d) * members[k]));
        yield;
      }
      missed.get(key).forEach((x, k) => { mean[k] += tilt[d] * x; });
    }
    extra = extra.map((x, k) => (turn ? (x + mean[k] / weight) / 2 : mean[k] / weight));
    found = yield* solving(response, extra);
  }
  return found.settled && total(found.shares) <= n / 2 ? found : null;
}

/** The part of the variance of a response that the turning row itself carries. */
function ownPart({ n, m }, surrogate, noise2) {
  const ends = ENDS[surrogate], angle = 2 * Math.asin(Math.sqrt(1 / n)), slant = 1 / Math.tan(angle);
  const slope = total(ends.map((x) => below(x) - 0.5));  // E μ′(a)²
  const turned = total(ends.map((x) => {  // the same over the rows that turn
    if (x === 0 || x === Infinity) return x && 0.5;
    let sum = 0;
    for (let i = 0.5; i < PANELS; i++) sum += Math.exp(-((i / PANELS) ** 2) / 2) * below(-slant * i / PANELS);
    return Math.sqrt(Math.PI / 2) / angle * sum / PANELS;
  }));
  const own = turned + (ends.includes(0) ? noise2 : 0);
  return own / (own + (m - 1) * slope);
}

/** How gradients answer to single flips, and what predicts from it how they answer to several. */
function responseOf(push, change, surrogate, own) {
  const n = push.length, pull = -total(change.map((row, k) => row[k])) / n, weights = predictionWeights(n, own);
  const pairs = Array.from({ length: n + 1 }, (_, d) => coefficients(1 - 2 * d / n, surrogate));
  const scale = pull / total(pairs[1]);
  const levels = [1, -1].map((sign) => pairs.map(([alpha, beta]) => scale * (sign * alpha - beta)));
  const across = change.map((row, l) => row.map((x, k) => (k === l ? 0 : x - levels[0][1])));
  const sums = mixed(push.map(() => 1), across);
  // b*_k G_k with |D| = d, but for the push and for what each member of D adds to it by itself.
  const level = (k, inside, d) => {
    const [itself, , outside] = weights[inside][d];
    return levels[inside][d] + itself * (change[k][k] + pull) + outside * sums[k];
  };
  const member = (inside, d) => weights[inside][d][1] - weights[inside][d][2];
  const home = push.map((x) => Math.max(0, x));
  const away = change.map((row, l) => row.map((x, k) => (k === l ? 0 : Math.max(0, push[k] + x))));
  return { push, pull, across, level, member, home, away };
}

/** Weights of k's own flip, of each other member of D and of each weight outside, by whether k is in D, and by |D|. */
function predictionWeights(n, own) {
  const kappa = (d, inside) => {
    const angle = Math.acos(1 - 2 * d / n), spread = inside ? 1 / d : d < n ? -1 / (n - d) : 0;
    return angle + own * Math.sin(angle) * spread;
  };
  const single = kappa(1, false), itself = kappa(1, true), withOwn = n > 1 ? (itself + single - kappa(2, true)) / 2 : 0;
  const pair = n > 2 ? single - kappa(2, false) / 2 : 0, apart = single - pair, all = apart + pair * (n - 1);
  return [0, 1].map((inside) => Array.from({ length: n + 1 }, (_, d) => {
    const members = d - inside, rest = n - 1 - members, here = kappa(d, inside);
    if (d === 0 || rest < 0) return [0, 0, 0];
    const flipped = (here + itself - (inside ? kappa(d - 1, 0) : kappa(d + 1, 1))) / 2;
    const member = members && (here + single - kappa(d - 1, inside)) / 2;
    const outside = rest && (here + single - kappa(d + 1, inside)) / 2;
    // The normal equations, solved for the first weight and for the sum of the others, which then tells each.
    const both = members * member + rest * outside, det = itself * all - withOwn ** 2 * (n - 1);
    const first = (flipped * all - withOwn * both) / det, sum = (itself * both - withOwn * (n - 1) * flipped) / det;
    const each = (x) => (x - withOwn * first - pair * sum) / apart;
    return [first, members && each(member), rest && each(outside)];
  }));
}

/** The balance where the mean gradients have `extra` beside what is predicted: {shares, occupancy, settled}. */
function* solving(response, extra) {
  const { push, pull, across, level, member } = response, n = push.length;
  let shares = push.map((x, k) => Math.min(0.5, clipped((x + extra[k]) / pull))), occupancy = 1, settled = false;
  const mean = [[], []], factor = [[], []];  // of a weight that is right, and of one that is wrong
  for (let round = 0; round < ROUNDS && !settled; round++) {
    if (round % RENEW === 0) {
      occupancy = aloneIn(response, shares, occupancy);
      const tilt = tiltOf(shares, occupancy);
      for (let k = 0; k < n; k++) {
        // How many others are wrong, given that k is right; that it is wrong; and that one more is.
        const others = lawOf(shares, k), laws = [0, 1, 2].map((more) => others.map((x, d) => x * tilt[d + more]));
        for (const i of [0, 1]) {
          mean[i][k] = expected(laws[i], (d) => level(k, i, d + i));
          factor[i][k] = expected(laws[i + 1], (d) => member(i, Math.min(d + 1, n - 1) + i));
        }
      }
      yield;
    }
    const [right, wrong] = factor.map((each) => mixed(shares.map((x, l) => x * each[l]), across));
    const next = shares.map((x, k) => clipped(x + STEP / pull
      * (push[k] + extra[k] + (1 - x) * (mean[0][k] + right[k]) + x * (mean[1][k] + wrong[k]))));
    settled = next.every((x, k) => Math.abs(x - shares[k]) < CLOSE);
    shares = next;
  }
  return { shares, occupancy: aloneIn(response, shares, occupancy), settled };
}

/** The share of the time at the teacher, from what it was taken for before. */
function aloneIn({ push, home, away }, shares, before) {
  const apart = product(shares.map((x) => 1 - x));
  let alone = before > 0 && before < 1 ? before : apart;
  for (let pass = 0; pass < PASSES; pass++) {
    const odds = shares.map((x) => x / (1 - Math.min(x, MOST)) * alone), sum = total(odds);
    const single = alone + sum > 1 ? odds.map((x) => x * (1 - alone) / sum) : odds, seen = Math.min(1, alone + sum);
    const mean = mixed(single, away).map((x, k) => (x + alone * home[k]) / seen);
    const factor = shares.map((x, k) => (mean[k] > 0 ? x / mean[k] : 0));
    const stay = (pushes) => product(pushes.map((x, k) => 1 - Math.min(factor[k] * x, MOST)));
    const back = total(away.map((row, l) => single[l] * stay(row)));
    alone = (alone + alone * stay(home) + back + (1 - seen) * apart) / 2;
  }
  return alone;
}

/** Factors that give the distribution of the number of wrong weights the value `alone` at zero and the same mean. */
function tiltOf(shares, alone) {
  const law = lawOf(shares, -1), last = law.length - 1, out = new Array(shares.length + 3).fill(1);
  if (last < 2 || !(0 < law[0] && law[0] * (1 + CLOSE) < alone && alone < 1)) return out;
  const goal = total(shares) / (1 - alone), rest = (x) => law.map((p, d) => (d ? p * Math.exp(x * (d - 1)) : 0));
  const falls = (x) => total(rest(x).map((p, d) => p * (d - goal))) < 0;
  if (!falls(-STEEP) || falls(STEEP)) return out;
  let slope = -STEEP;
  for (let step = STEEP; step > FINE; step /= 2) if (falls(slope + step)) slope += step;
  const scale = (1 - alone) / total(rest(slope));
  return out.map((_, d) => (d ? scale * Math.exp(slope * (Math.min(d, last) - 1)) : alone / law[0]));
}

/** The distribution of the number of wrong weights other than `but`, if they are wrong independently. */
function lawOf(shares, but) {
  let law = [1];
  shares.forEach((x, k) => {
    if (k !== but && x > 0) law = [...law, 0].map((p, d) => p * (1 - x) + (d && law[d - 1] * x));
  });
  return law;
}
