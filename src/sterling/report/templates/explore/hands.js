// What the reader takes hold of in the pictures: beads, bits and the whole run.

import { bitAt } from "./bits.js";
import { $ } from "./dom.js";
import { hoverOn, pointerOn } from "./hover.js";
import { listenToPlane } from "./plane.js";
import { farthestOf, listenToRails, railsValues } from "./rails.js";

/**
 * `view()` is {run, tape}, or false where there is no run. `start(latents)` begins a run, `drop()` lets it go,
 * `scrub(step, done)` stands at a step.
 */
export function listenToHands(view, { start, drop, scrub }) {
  const move = (k, u) => start([...view().run.latents()].map((old, l) => (l === k ? u : old)));
  listenToRails($("rails"), () => view() && { run: view().run, most: farthestOf(view().tape) }, move, drop);
  listenToPlane($("plane"), () => view()?.run, start, drop);
  for (const [event, done] of [["input", false], ["change", true]]) {
    $("at").addEventListener(event, () => scrub(Math.round($("at").value), done));
  }
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

/** Show where the sliders in the pictures stand, the one through the run at `step`. */
export function tellHands(run, tape, step) {
  Object.assign($("at"), { max: Math.max(tape.end.step, 20), value: step });
  $("at").setAttribute("aria-valuetext", `step ${step.toLocaleString("en")}`);
  for (const [name, value] of Object.entries(railsValues(run, farthestOf(tape)))) {
    $("rails").setAttribute(`aria-value${name}`, value);
  }
}
