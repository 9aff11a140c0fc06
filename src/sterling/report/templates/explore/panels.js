// Draws the pictures of the page, as they are at one moment.

import { drawBits } from "./bits.js";
import { drawRecent, drawWhole } from "./chart.js";
import { $, describe, put } from "./dom.js";
import { drawField } from "./states.js";
import { hovered } from "./hover.js";
import { MOST_WEIGHTS } from "./landscape.js";
import { signal } from "./laws.js";
import { drawPlane } from "./plane.js";
import { paintProof } from "./proof.js";
import { drawRails, farthestOf, weightWords } from "./rails.js";
import { readRestart } from "./settings.js";

/** Milliseconds for which a flip is marked. */
export const GLOW = 500;
const HINT = "Drag a bead or click a bit of the student: a new run begins there.";
const calm = matchMedia("(prefers-reduced-motion: reduce)");

/**
 * `flashed` says when each weight flipped last; `law` and `land` are null before they are known. Without `all`
 * the clock and the pictures that change slowly are left as they are.
 */
export function paint({ run, tape, settings, law, land, averages, flashed, now }, all) {
  const { n, data, data: { teacher } } = run, mean = run.average(), average = settings.view === "average";
  const shown = average ? mean.map((x) => (x >= 0 ? 1 : -1)) : run.signs;
  const fresh = (k) => Number(run.anchor > 0 && run.step <= run.anchor + 1 && run.since[k] === run.anchor);
  const glow = calm.matches ? fresh : (k) => Math.max(0, 1 - (now - flashed[k]) / GLOW);
  if (all) drawBits($("teacher-bits"), teacher, teacher, () => 0);
  drawBits($("student-bits"), shown, teacher, average ? () => 0 : glow);
  paintTime({ run, tape, settings, averages }, $("recent"), all && $("whole"));
  if (n === 2) describe($("plane"), drawPlane($("plane"), run));
  const foretold = average && law && !law.absorbs && !settings.restart && !settings.damping;
  drawRails($("rails"), {
    run, other: tape.other, most: farthestOf(tape), pull: signal(n, data.m, run.surrogate),
    average: run.step > 0 ? mean : null, shares: foretold ? law.shares : null, glow,
  });
  // Words come after the pictures: letters on a canvas make the page find its styles first if words have changed. A
  // clock that ticks in each frame costs as much as the pictures.
  if (all) put("clock", run.step.toLocaleString("en"));
  put("values", hovered() >= 0 ? weightWords(run, hovered()) : HINT);
  if (land && n <= MOST_WEIGHTS) describe($("landscape"), drawField($("landscape"), run, land));
  paintProof(run);
}

/** The last steps, and the whole run, each if there is a canvas for it. */
export function paintTime({ run, tape: { other, end, otherEnd }, settings, averages }, lately, always) {
  const every = readRestart(settings.restart)?.every;
  drawRecent(lately, run, other, every);
  if (always) drawWhole(always, end, otherEnd, every, averages, run.step);
}
