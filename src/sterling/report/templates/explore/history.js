// The number of wrong weights over a whole run, in bounded memory: bins whose width doubles when they are full, and
// the last changes one by one.

const BINS = 1024;
const RECENT = 1 << 8;  // changes, at most one a step
const TURNS = 1 << 12;  // flips of single weights

export class History {
  constructor(distance) {
    this.start = distance;
    this.width = 1;  // steps of a bin
    this.area = new Float64Array(BINS);  // Σ of wrong weights over its steps
    this.low = new Uint16Array(BINS).fill(65535);
    this.high = new Uint16Array(BINS);
    this.arrivals = new Uint32Array(BINS);  // returns to the teacher
    this.end = 0;  // steps that the bins account for
    this.distance = distance;
    this.steps = new Float64Array(RECENT);
    this.values = new Uint16Array(RECENT);
    this.count = 1;
    this.values[0] = distance;
    this.turnSteps = new Float64Array(TURNS);
    this.turned = new Uint16Array(TURNS);
    this.turns = 0;
  }

  copy() {
    const other = Object.assign(Object.create(History.prototype), this);
    for (const [name, value] of Object.entries(this)) if (typeof value !== "number") other[name] = value.slice();
    return other;
  }

  /** Weight k flips at `step`. */
  turn(step, k) {
    const at = this.turns++ & (TURNS - 1);
    this.turnSteps[at] = step;
    this.turned[at] = k;
  }

  /** The flips of weight k since `first`, the last one first, and the step since when they are known. */
  turnsOf(k, first) {
    const steps = [], oldest = Math.max(0, this.turns - TURNS);
    for (let i = this.turns - 1; i >= oldest; i--) {
      const at = i & (TURNS - 1);
      if (this.turnSteps[at] < first) return { steps, since: first };
      if (this.turned[at] === k) steps.push(this.turnSteps[at]);
    }
    return { steps, since: oldest > 0 ? this.turnSteps[oldest & (TURNS - 1)] : first };
  }

  /** At `step` the number of wrong weights goes from `before` to `after`; `again` says that zero would be a return. */
  add(step, before, after, again) {
    this.fill(step, before);
    if (after === 0 && before > 0 && again) this.arrivals[Math.floor(this.end / this.width)]++;
    this.distance = after;
    const at = this.count++ & (RECENT - 1);
    this.steps[at] = step;
    this.values[at] = after;
  }

  /** Account for the steps up to `step`, with `value` wrong weights. */
  fill(step, value) {
    while (step >= BINS * this.width) this.halve();
    const { width, area, low, high } = this;
    let from = this.end;
    while (from < step) {
      const bin = Math.floor(from / width), to = Math.min(step, (bin + 1) * width);
      area[bin] += value * (to - from);
      if (value < low[bin]) low[bin] = value;
      if (value > high[bin]) high[bin] = value;
      from = to;
    }
    this.end = step;
  }

  halve() {
    const sum = (a, b) => a + b, { area, low, high, arrivals } = this;
    const all = [[area, sum, 0], [low, Math.min, 65535], [high, Math.max, 0], [arrivals, sum, 0]];
    for (const [bins, join, none] of all) {
      for (let bin = 0; bin < BINS / 2; bin++) bins[bin] = join(bins[2 * bin], bins[2 * bin + 1]);
      bins.fill(none, BINS / 2);
    }
    this.width *= 2;
  }

  /** The last changes not before `step`, oldest first, as [step, value]; the first one says what held before. */
  since(step) {
    const least = Math.max(0, this.count - RECENT), found = [];
    for (let i = this.count - 1; i >= least; i--) {
      const at = i & (RECENT - 1);
      found.push([this.steps[at], this.values[at]]);
      if (this.steps[at] <= step) break;
    }
    return found.reverse();
  }
}
