// What the reader takes hold of in the pictures: beads, bits and the whole run.

import { bitAt } from "./bits.js";
import { wholeSpan } from "./chart.js";
import { $ } from "./dom.js";
import { hoverOn, pointerOn } from "./hover.js";
import { listenToPlane } from "./plane.js";
import { farthestOf, listenToRails, railsValues } from "./rails.js";
import { listenToScrub } from "./scrub.js";

/**
 * `view()` is {run, tape, goal}, or false where there is no run. `start(latents)` begins a run, `drop()` lets it go,
 * `scrub(step, done)` stands at a step.
 */
export function listenToHands(view, { start, drop, scrub }) {
  const move = (k, u) => start([...view().run.latents()].map((old, l) => (l === k ? u : old)));
  listenToRails($("rails"), () => view() && { run: view().run, most: farthestOf(view().tape) }, move, drop);
  listenToPlane($("plane"), () => view()?.run, start, drop);
  const span = () => {
    const { run, tape, goal } = view();
    return { ...wholeSpan($("whole"), tape.end), step: typeof goal === "number" ? goal : run.step };
  };
  listenToScrub($("whole"), () => view() && span(), scrub);
  const at = (id) => (x, y) => (view() ? bitAt($(id), view().run.n, x, y) : -1);
  for (const id of ["teacher-bits", "student-bits"]) hoverOn($(id), at(id));
  // A click puts the latent weight on the other side of zero, as far from it as a start usually is.
  $("student-bits").addEventListener("click", (event) => {
    const k = at("student-bits")(...pointerOn(event.target, event));
    if (k < 0) return;
    const { run } = view();
    move(k, -run.signs[k] / Math.sqrt(run.n));
    drop();
  });
}

/** Tell screen readers where the sliders in the pictures stand. */
export function tellHands(run, tape) {
  const whole = { min: 0, max: tape.end.step, now: run.step, text: `step ${run.step.toLocaleString("en")}` };
  for (const [id, values] of [["rails", railsValues(run, farthestOf(tape))], ["whole", whole]]) {
    for (const [name, value] of Object.entries(values)) $(id).setAttribute(`aria-value${name}`, value);
  }
}
