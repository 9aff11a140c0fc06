// The whole run as a tape: copies of the run at some of its steps, from which any step is reached again soon. A second
// run beside the first keeps the same clock.

const MARKS = 96;  // copies, at most
const FIRST = 16;  // steps between two copies; doubled when they are too many

export class Tape {
  constructor(run, other) {
    this.run = run;
    this.other = other;  // or null
    this.end = run;  // the run as far as it has come
    this.otherEnd = other;
    this.gap = FIRST;
    this.marks = [];
    this.follow();
  }

  /** After each move of the run: bring the second one up to it. Return whether it got there before `pause()`. */
  follow(pause = null) {
    const { run, other, marks } = this;
    if (other && other.step < run.step && !other.advance(run.step, pause)) return false;
    if (run.step >= this.end.step) [this.end, this.otherEnd] = [run, other];
    if (marks.length && run.step < marks[marks.length - 1].run.step + this.gap) return true;
    marks.push({ run: run.copy(), other: other?.copy() ?? null });
    if (marks.length > MARKS) {
      this.gap *= 2;
      this.marks = marks.filter((_, i) => i % 2 === 0);
    }
    return true;
  }

  /** Stand at the last copy that is not after `step`, and return the run there. */
  from(step) {
    if (step >= this.end.step) [this.run, this.other] = [this.end, this.otherEnd];
    else {
      const { run, other } = this.marks.findLast((mark) => mark.run.step <= step);
      [this.run, this.other] = [run.copy(), other?.copy() ?? null];
    }
    this.other?.resume();
    return this.run.resume();
  }
}
