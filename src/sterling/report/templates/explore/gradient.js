// The STE gradient of one data set at a state, exactly, and what visited states are remembered by.
// Sums are whole numbers below 2^53, so their order does not matter.

import { windowOf } from "./problem.js";
import { randomWords } from "./random.js";

const MOST_BYTES = 1 << 26;  // for gradients of visited states
const FIRST_SLOTS = 1024;

/** The gradient at the state it was last asked for; a new one costs what differs. */
class Sums {
  constructor(data, surrogate) {
    this.data = data;
    [this.low, this.high] = windowOf(surrogate, data.n);
    const height = data.samples * data.m;
    this.signs = new Int8Array(data.n);
    this.before = new Int32Array(height);
    this.weights = new Int32Array(height);  // residual of the sample times μ′
    this.sums = new Float64Array(data.n);
    this.square = 0;
  }

  /** Go to a state. */
  moveTo(signs) {
    const { n, columns } = this.data, { before, sums } = this, height = before.length;
    for (let k = 0; k < n; k++) {
      const change = signs[k] - this.signs[k], start = k * height;
      if (change === 0) continue;
      this.signs[k] = signs[k];
      for (let r = 0; r < height; r++) before[r] += change * columns[start + r];
    }
    this.weigh();
    return sums;
  }

  /** Bring the weights of the rows up to date, and the sums with them. */
  weigh() {
    const { n, m, samples, rows, labels, bits } = this.data, { before, weights, sums, low, high } = this;
    const one = 2 ** bits;
    let square = 0;
    for (let i = 0, r = 0; i < samples; i++) {
      let residual = -labels[i];
      for (let j = 0; j < m; j++) if (before[r + j] > 0) residual += one;
      square += residual * residual;
      for (let j = 0; j < m; j++, r++) {
        const weight = before[r] >= low && before[r] <= high ? residual : 0, change = weight - weights[r];
        if (change !== 0) {
          weights[r] = weight;
          const start = r * n;
          for (let k = 0; k < n; k++) sums[k] += change * rows[start + k];
        }
      }
    }
    this.square = square;
  }
}

/** Gradients by state; those of visited states are remembered. */
export class Gradients {
  constructor(data, surrogate) {
    this.n = data.n;
    this.unit = data.unit;
    this.sums = new Sums(data, surrogate);
    this.wordCount = (data.n + 31) >> 5;
    this.zobrist = new Int32Array(randomWords(0, [], data.n).buffer);  // any fixed words do
    const states = data.n < 26 ? 2 ** data.n : Infinity;
    this.most = Math.max(2, Math.min(states, Math.floor(MOST_BYTES / (8 * data.n))));
    this.resize(Math.min(this.most, FIRST_SLOTS), true);
  }

  resize(slots, empty) {
    const { values, keys, hashes, n, wordCount } = this;
    this.slots = slots;
    this.values = new Float64Array(slots * n);
    this.keys = new Int32Array(slots * wordCount);
    this.hashes = new Int32Array(slots);
    if (empty) this.count = 0;
    else {
      this.values.set(values);
      this.keys.set(keys);
      this.hashes.set(hashes);
    }
    let size = 4;
    while (size < 2 * slots) size *= 2;
    this.buckets = new Int32Array(size).fill(-1);
    for (let slot = 0; slot < this.count; slot++) this.enter(slot);
  }

  enter(slot) {
    const mask = this.buckets.length - 1;
    let at = this.hashes[slot] & mask;
    while (this.buckets[at] >= 0) at = (at + 1) & mask;
    this.buckets[at] = slot;
  }

  /** The signs packed into words, and a hash of them: {words, hash}. `flip` keeps it up to date. */
  keyOf(signs) {
    const key = { words: new Int32Array(this.wordCount), hash: 0 };
    for (let k = 0; k < this.n; k++) if (signs[k] > 0) this.flip(key, k);
    return key;
  }

  flip(key, k) {
    key.words[k >> 5] ^= 1 << (k & 31);
    key.hash ^= this.zobrist[k];
  }

  /** Where the gradient of a state begins in `values`. */
  at(signs, key) {
    const { buckets, hashes, keys, wordCount } = this, { words, hash } = key, mask = buckets.length - 1;
    search: for (let at = hash & mask; buckets[at] >= 0; at = (at + 1) & mask) {
      const slot = buckets[at];
      if (hashes[slot] !== hash) continue;
      for (let w = 0; w < wordCount; w++) if (keys[slot * wordCount + w] !== words[w]) continue search;
      return slot * this.n;
    }
    return this.evaluate(signs, key);
  }

  evaluate(signs, key) {
    if (this.count === this.slots) {
      if (this.slots < this.most) this.resize(Math.min(this.most, 2 * this.slots), false);
      else this.resize(this.slots, true);  // full: begin again
    }
    const slot = this.count++, sums = this.sums.moveTo(signs), { values, n, unit } = this;
    for (let k = 0; k < n; k++) values[slot * n + k] = sums[k] / unit;
    this.keys.set(key.words, slot * this.wordCount);
    this.hashes[slot] = key.hash;
    this.enter(slot);
    return slot * n;
  }

  /** Whether the empirical risk at a state is zero. */
  isPerfect(signs) {
    this.sums.moveTo(signs);
    return this.sums.square === 0;
  }
}
