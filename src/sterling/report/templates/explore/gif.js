// Animated GIFs in a few lines: a fixed palette, LZW, one picture after the other.

const BITS = 8;  // of a palette index
const MOST_CODES = 4096;

const short = (number) => [number & 255, number >> 8];

/** A function of red, green and blue: the index of the nearest one of at most 256 colours [[red, green, blue], …]. */
export function nearestIn(colours) {
  const known = new Map();
  return (...own) => {
    const key = own.reduce((sum, x) => sum << 6 | x >> 2, 0);
    if (!known.has(key)) {
      const far = colours.map((one) => one.reduce((sum, x, i) => sum + (x - own[i]) ** 2, 0));
      known.set(key, far.indexOf(Math.min(...far)));
    }
    return known.get(key);
  };
}

const table = new Int16Array(1 << BITS + 12);  // the code of a prefix with the next index; 0 for none

/** The bytes of LZW for indices below 256, in blocks as GIF has them. */
export function compressed(indices) {
  const clear = 1 << BITS, bytes = [], blocks = [BITS];
  let held = 0, count = 0, size = BITS + 1, next = clear + 2;
  table.fill(0);
  const put = (code) => {
    held |= code << count;
    for (count += size; count >= 8; count -= 8) {
      bytes.push(held & 255);
      held >>>= 8;
    }
  };
  put(clear);
  let prefix = indices[0];
  for (let i = 1; i < indices.length; i++) {
    const key = prefix << BITS | indices[i], code = table[key];
    if (code) {
      prefix = code;
      continue;
    }
    put(prefix);
    if (next < MOST_CODES) {
      if (next === 1 << size) size++;
      table[key] = next++;
    } else {
      put(clear);
      [size, next] = [BITS + 1, clear + 2];
      table.fill(0);
    }
    prefix = indices[i];
  }
  put(prefix);
  put(clear + 1);
  if (count > 0) bytes.push(held & 255);
  for (let i = 0; i < bytes.length; i += 255) {
    const block = bytes.slice(i, i + 255);
    blocks.push(block.length, ...block);
  }
  blocks.push(0);
  return Uint8Array.from(blocks);
}

/** A GIF that repeats without end, from pictures {indices, delay in hundredths of a second} of one size. */
export function gif(width, height, colours, pictures) {
  const palette = new Uint8Array(3 << BITS);
  palette.set(colours.flat());
  const letters = (text) => [...text].map((letter) => letter.charCodeAt(0));
  const parts = [
    Uint8Array.from([...letters("GIF89a"), ...short(width), ...short(height), 0x80 | BITS - 1, 0, 0]),
    palette,
    Uint8Array.from([0x21, 0xff, 11, ...letters("NETSCAPE2.0"), 3, 1, 0, 0, 0]),
  ];
  for (const { data, delay } of pictures) {
    parts.push(Uint8Array.from([0x21, 0xf9, 4, 0, ...short(delay), 0, 0, 0x2c, 0, 0, 0, 0, ...short(width), ...short(height), 0]), data);
  }
  return new Blob([...parts, Uint8Array.of(0x3b)], { type: "image/gif" });
}
