// Random words as NumPy makes them: SeedSequence, and the 64-bit words of PCG64 (XSL-RR).
// Whole numbers only, so the bits are the same in every browser.

const POOL = 4;
const INIT_A = 0x43b0d7e5, MULTIPLY_A = 0x931e8875;
const INIT_B = 0x8b51f9dd, MULTIPLY_B = 0x58f38ded;
const MIX_LEFT = 0xca01f9dd, MIX_RIGHT = 0x4973f715;
const MULTIPLIER = 0x2360ed051fc65da44385df649fccf645n;  // of PCG64

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

/** The first `count` words of a stream. */
export const randomWords = (seed, part, count) => streamOf(seed, part)(count);

/**
 * The PCG64 stream of part `part` of a seed: a function that gives the next `count` 64-bit words, as 2·count 32-bit
 * words: of each the lower half, then the upper one.
 */
export function streamOf(seed, part) {
  // Of NumPy's four 64-bit words two are the start and two the increment, the upper half first.
  const state = new BigUint64Array(Uint32Array.from(seedState(seed, part, 8)).buffer);
  const wide = (high, low) => (high << 64n) + low, increment = 2n * wide(state[2], state[3]) + 1n;
  const next = (now) => BigInt.asUintN(128, now * MULTIPLIER + increment);
  let now = next(increment + wide(state[0], state[1]));
  return (count) => {
    const words = new BigUint64Array(count);
    for (let i = 0; i < count; i++) {
      now = next(now);
      const mixed = BigInt.asUintN(64, now ^ (now >> 64n)), turn = now >> 122n;
      words[i] = (mixed >> turn) | (mixed << (64n - turn));
    }
    return new Uint32Array(words.buffer);
  };
}
