// Random words as NumPy makes them: SeedSequence, and the 64-bit words of PCG64 (XSL-RR).
// Whole numbers below 2^32 only, so the bits are the same in every browser.

const POOL = 4;
const INIT_A = 0x43b0d7e5, MULTIPLY_A = 0x931e8875;
const INIT_B = 0x8b51f9dd, MULTIPLY_B = 0x58f38ded;
const MIX_LEFT = 0xca01f9dd, MIX_RIGHT = 0x4973f715;

/** The 32-bit words of a non-negative integer below 2^53, the lowest first. */
function wordsOf(number) {
  const words = [number >>> 0];
  const high = Math.floor(number / 4294967296);
  if (high > 0) words.push(high);
  return words;
}

/** `count` 32-bit words of SeedSequence(seed, spawn_key=part).generate_state. */
function seedState(seed, part, count) {
  const entropy = wordsOf(seed);
  if (part.length) while (entropy.length < POOL) entropy.push(0);
  for (const number of part) entropy.push(...wordsOf(number));
  let constant = INIT_A;
  const hashed = (value) => {
    value = (value ^ constant) >>> 0;
    constant = Math.imul(constant, MULTIPLY_A) >>> 0;
    value = Math.imul(value, constant) >>> 0;
    return (value ^ (value >>> 16)) >>> 0;
  };
  const mixed = (x, y) => {
    const value = (Math.imul(MIX_LEFT, x) - Math.imul(MIX_RIGHT, y)) >>> 0;
    return (value ^ (value >>> 16)) >>> 0;
  };
  const pool = [];
  for (let i = 0; i < POOL; i++) pool.push(hashed(i < entropy.length ? entropy[i] : 0));
  for (let from = 0; from < POOL; from++) {
    for (let to = 0; to < POOL; to++) if (from !== to) pool[to] = mixed(pool[to], hashed(pool[from]));
  }
  for (let from = POOL; from < entropy.length; from++) {
    for (let to = 0; to < POOL; to++) pool[to] = mixed(pool[to], hashed(entropy[from]));
  }
  const state = [];
  constant = INIT_B;
  for (let i = 0; i < count; i++) {
    let value = (pool[i % POOL] ^ constant) >>> 0;
    constant = Math.imul(constant, MULTIPLY_B) >>> 0;
    value = Math.imul(value, constant) >>> 0;
    state.push((value ^ (value >>> 16)) >>> 0);
  }
  return state;
}

/** The upper half of the 64-bit product of two 32-bit numbers. */
function multiplyHigh(a, b) {
  const a0 = a & 0xffff, a1 = a >>> 16, b0 = b & 0xffff, b1 = b >>> 16;
  const low = a0 * b0;
  const middle = a1 * b0 + (low >>> 16);  // below 2^32, and so is what comes
  const other = a0 * b1 + (middle & 0xffff);
  return (a1 * b1 + Math.floor(middle / 65536) + Math.floor(other / 65536)) >>> 0;
}

// The multiplier of PCG64 in 32-bit limbs, the lowest first.
const M0 = 0x9fccf645, M1 = 0x4385df64, M2 = 0x1fc65da4, M3 = 0x2360ed05;

/** The first `count` words of a stream. */
export const randomWords = (seed, part, count) => streamOf(seed, part)(count);

/**
 * The PCG64 stream of part `part` of a seed: a function that gives the next `count` 64-bit words, as 2·count 32-bit
 * words: of each the lower half, then the upper one.
 */
export function streamOf(seed, part) {
  // Of NumPy's four 64-bit words two are the start and two the increment, the upper half first.
  const [w0, w1, w2, w3, w4, w5, w6, w7] = seedState(seed, part, 8);
  const i0 = ((w6 << 1) | 1) >>> 0, i1 = ((w7 << 1) | (w6 >>> 31)) >>> 0;
  const i2 = ((w4 << 1) | (w7 >>> 31)) >>> 0, i3 = ((w5 << 1) | (w4 >>> 31)) >>> 0;
  let s0 = 0, s1 = 0, s2 = 0, s3 = 0;

  function add(a0, a1, a2, a3) {
    let sum = s0 + a0;
    s0 = sum >>> 0;
    sum = s1 + a1 + (sum > 0xffffffff ? 1 : 0);
    s1 = sum >>> 0;
    sum = s2 + a2 + (sum > 0xffffffff ? 1 : 0);
    s2 = sum >>> 0;
    s3 = (s3 + a3 + (sum > 0xffffffff ? 1 : 0)) >>> 0;
  }
  function step() {
    // The product modulo 2^128, limb by limb; sums stay far below 2^53.
    const r0 = Math.imul(s0, M0) >>> 0;
    let sum = multiplyHigh(s0, M0) + (Math.imul(s0, M1) >>> 0) + (Math.imul(s1, M0) >>> 0);
    const r1 = sum >>> 0;
    sum = Math.floor(sum / 4294967296) + multiplyHigh(s0, M1) + multiplyHigh(s1, M0)
      + (Math.imul(s0, M2) >>> 0) + (Math.imul(s1, M1) >>> 0) + (Math.imul(s2, M0) >>> 0);
    const r2 = sum >>> 0;
    const r3 = (Math.floor(sum / 4294967296) + multiplyHigh(s0, M2) + multiplyHigh(s1, M1)
      + multiplyHigh(s2, M0) + (Math.imul(s0, M3) >>> 0) + (Math.imul(s1, M2) >>> 0)
      + (Math.imul(s2, M1) >>> 0) + (Math.imul(s3, M0) >>> 0)) % 4294967296;
    s0 = r0; s1 = r1; s2 = r2; s3 = r3;
    add(i0, i1, i2, i3);
  }

  step();
  add(w2, w3, w0, w1);
  step();
  return (count) => {
    const words = new Uint32Array(2 * count);
    for (let i = 0; i < count; i++) {
      step();
      const low = (s0 ^ s2) >>> 0, high = (s1 ^ s3) >>> 0;
      let turn = s3 >>> 26;
      const first = turn < 32 ? low : high, second = turn < 32 ? high : low;
      turn &= 31;
      words[2 * i] = turn ? ((first >>> turn) | (second << (32 - turn))) >>> 0 : first;
      words[2 * i + 1] = turn ? ((second >>> turn) | (first << (32 - turn))) >>> 0 : second;
    }
    return words;
  };
}
