// The sentences of the section on the certificate. Bounds are rounded to the side that is proved.

import { MOST_WEIGHTS } from "./landscape.js";
import { atLeast, atMost } from "./words.js";

/** A push or a pull. */
export const signed = (x) => (x === 0 ? "0" : x.toFixed(Math.abs(x) < 0.0095 ? 4 : 3).replace("-", "−"));
/** Why the page looks for no certificate; "" where it does. */
export function noProofWords({ n, damping }) {
  if (n > MOST_WEIGHTS) return `A certificate needs the gradients at all 2ⁿ states. This page takes them for up to ${MOST_WEIGHTS} weights.`;
  return damping > 0 ? "A certificate is about runs without damping. Set θ to none to see one." : "";
}

const shares = (x) => `${(100 * x).toFixed(0)}\u00a0%`;
const strong = (text) => `<strong>${text}</strong>`;
const IMPOSSIBLE = "<span class=\"cannot\">Impossible.</span>";

/**
 * One bit on the scales: the strongest push, the weakest pull and the share of time wrong that follows, the share that the
 * reader has set, and the share that all inequalities together allow.
 */
export function weightWords(k, { push, pull, share }, wrong, proved) {
  const name = `bit ${k + 1}`, held = Math.max(0, pull) * wrong, out = push * (1 - wrong) + Math.max(0, -pull) * wrong;
  const facts = `While ${name} is right, the push <i>p</i> moves its latent out, towards zero and over it, by at most <b>${signed(push)}</b>. While it is wrong, the pull <i>q</i> moves it home, ${
    pull > 0 ? `by at least <b>${signed(pull)}</b>.` : "but not at all states."}`;
  let says;
  if (pull <= 0) says = `At some states even a wrong ${name} is pushed out. So one bit alone proves nothing here. All bits together may.`;
  else if (wrong > share) says = `${IMPOSSIBLE} The latent would move home, ever further. Once it is home, its bit is right, and the pull ends. So no long run is like this.`;
  else says = "Possible, as far as these scales show: the push can make up for the pull.";
  const sharper = proved < share ? ` All bits together give a sharper bound, ${atMost(100 * proved, 1)}\u00a0%: their inequalities also
limit the time at the states with the strongest push and the weakest pull.` : "";
  if (pull > 0) says += ` In every long run ${name} is wrong for ${strong(`${atMost(100 * share, 1)}\u00a0%`)} of the time, the share <i>p</i>/(<i>p</i> + <i>q</i>).${
    share < 0.5 ? " That is less than half: its average has the right sign." : ""}${sharper}`;
  return {
    facts, says, loads: [out, held],
    words: [
      ["push p while right", `${signed(push)} × ${shares(1 - wrong)}`],
      ["pull q while wrong", pull > 0 ? `${signed(pull)} × ${shares(wrong)}` : "no least pull"],
    ],
  };
}

/** All bits in one sum. */
export function sumWords({ values, home, above, highest, share }) {
  if (share > 0) {
    return `The teacher is ${values[home] > 1e-12 ? "the only state above zero" : "at zero, as nothing pushes there"}. ${
      values.length > 2 ? `All ${(values.length - 1).toLocaleString("en")} others are below zero: at ${signed(values[highest])} or lower`
        : `The other one is below zero: at ${signed(values[highest])}`}.`;
  }
  return above === 0 ? "All factors are zero: nothing is added up."
    : `${above.toLocaleString("en")} ${above === 1 ? "state" : "states"} besides the teacher ${above === 1 ? "is" : "are"} not below zero. The sum allows a run to stay there, so these factors do not prove that it returns.`;
}

/** What follows from the sum; `there` is the reader's share of the time at the teacher. */
export function boundWords({ values, home, highest, share }, { absorbs, occupancy }, there, trapped) {
  const up = values[home], down = Math.max(0, -(values[highest] ?? 0));
  const words = [
    ["at the teacher", `${signed(up)} × ${shares(there)}`],
    ["elsewhere, at least", share > 0 ? `${signed(down)} × ${shares(1 - there)}` : "nothing is known"],
  ];
  const loads = [up * there, share > 0 ? down * (1 - there) : 0];
  if (share === 0) {
    const why = occupancy > 0 ? "The certificate’s factors do."
      : trapped ? "No factors can: a run that starts in a trap stays there." : "No factors do for these data. <code>sterling certify</code> may prove it by cases. More samples help.";
    return { says: `These factors give no bound. ${why}`, words, loads };
  }
  const first = there < share ? `${IMPOSSIBLE} The sum would be below zero, and in a long run it cannot be.`
    : "Possible, as far as this sum shows.";
  const claim = absorbs
    ? `No time is left for other states, and nothing moves at the teacher. So every run ${strong("ends at the teacher")} and stays.`
    : `Every long run spends ${strong(atLeast(share))} of the time at the teacher. Some bit is pushed out there, so no run stays: it ${strong("leaves and returns without end")}.`;
  return { says: `${first} ${claim}`, words, loads };
}
