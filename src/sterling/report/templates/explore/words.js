// What the page says in words: of a run, of the law for its data, of the landscape and its proof.

import { UNDECIDED } from "./bars.js";
import { brief, WINDOW } from "./chart.js";
import { chatterShare } from "./laws.js";

const percent = (share) => (share > 0 && share < 0.001 ? "below 0.1 %" : `${(100 * share).toFixed(1)} %`);
const average = (number) => (number >= 100 ? number.toFixed(0) : number.toFixed(2));

const VERDICTS = {
  OPTIMAL: ["certified", "OPTIMAL, certified: at rest at the teacher for ever"],
  TRAPPED: ["trapped", "TRAPPED, certified: at rest elsewhere for ever"],
  RECURRENT: ["recurrent", "RECURRENT: left the teacher and came back"],
};

/** The verdict on a run as [class, words]. */
export function verdictWords(run) {
  const name = run.verdict();
  if (name === "OPTIMAL" && run.distance > 0) return ["certified", "OPTIMAL, certified: at rest with every label right"];
  return VERDICTS[name] ?? ["", run.distance === 0 ? "at the teacher" : "away from the teacher"];
}

/** What a run has come to: the texts of the table by their places, and of the pictures for those who do not see them. */
export function runWords(run, view) {
  const { n, data } = run, mean = run.average(), { returns, occupied } = run.visited(), some = run.step > 0;
  let wrong = 0, undecided = 0, worst = 0, sum = 0;
  for (let k = 0; k < n; k++) {
    if ((mean[k] >= 0) !== (data.teacher[k] > 0)) wrong++;
    if (Math.abs(mean[k]) < UNDECIDED) undecided++;
    const share = run.wrongShare(k);
    worst = Math.max(worst, share);
    sum += share;
  }
  const shown = view === "average" ? ["The sign of the average", wrong] : ["The last weights", run.distance];
  return {
    table: {
      "is-occupancy": some ? percent(occupied / run.step) : "–",
      "is-wrong": some ? average(sum) : "–",
      "is-worst": some ? `${percent(worst)} of the steps` : "–",
      "is-last": `${run.distance} of ${n}`,
      "is-average": some ? `${wrong} of ${n}` : "–",
      "is-returns": returns.toLocaleString("en"),
    },
    pictures: {
      "student-bits": `${shown[0]}: ${shown[1]} of ${n} bits are wrong`,
      whole: `Wrong weights over ${run.step.toLocaleString("en")} steps: ${run.distance} now, ${
        some ? average(sum) : run.distance} on average, ${returns} returns to the teacher`,
      recent: `Wrong weights over the last ${WINDOW} steps: ${run.distance} now`,
      bars: `The time average of ${n} weights: ${wrong} with the wrong sign, ${undecided} undecided`,
    },
  };
}

/** What the law says of a long run: how sure it is, and texts by their places in the table. */
export function lawWords(law, settings) {
  const { n, surrogate, restart } = settings;
  if (law.absorbs) {
    const chatter = restart ? null : chatterShare(settings, surrogate);
    return { kind: "exact", table: {
      "law-note": `Without label noise the gradient is zero at the teacher: once there, a run stays. Whether it gets there this does not say; for few weights the certificate further down can.${
        chatter === null ? "" : " How many weights are wrong while it chatters is an approximation, compared with runs."}`,
      "law-occupancy": "all, once it is there",
      "law-wrong": chatter === null ? "none, once it is there" : `${average(chatter * n)} while it chatters`,
      "law-worst": "–",
      "law-last": "none, once it is there",
      "law-average": "–",
      "law-returns": "none",
    } };
  }
  return { kind: "mean-field", table: {
    "law-note": "An approximation that runs support, not a theorem. It reads one gradient, at the teacher: a bit is wrong for the share push/pull of the steps, the push of the noise on it over the pull of the data on a wrong bit.",
    "law-occupancy": percent(law.occupancy),
    "law-wrong": average(law.shares.reduce((sum, share) => sum + share, 0)),
    "law-worst": `${percent(Math.max(...law.shares))} of the steps`,
    "law-last": "a matter of luck",
    "law-average": `${law.shares.filter((share) => share > 0.5).length} of ${n}`,
    "law-returns": law.occupancy > 0 ? "for ever" : "–",
  } };
}

/** What was found by going through all states, as HTML; "" while it is not there. */
export function landscapeWords(land, law) {
  if (!land) return "";
  const others = land.absorbing.length - (law.absorbs ? 1 : 0);
  const traps = `${others === 1 ? "One other state is a trap" : `${others} other states are traps`}, ringed in the picture.`;
  return `<h3>Resting points <span class="kind exact">exact</span></h3><p>All ${brief(land.distances.length)} states were looked at. ${
    law.absorbs ? "The teacher is a resting point: no run that gets there can leave."
      : "The teacher can be left: it is no resting point."} ${
    others ? traps : "No other state can catch a run, whatever its start and its step sizes."}</p>`;
}

/** What is proved of the data, as HTML; "" while it is not there. */
export function proofWords(proof, land) {
  if (!proof) return "";
  const title = "<h3>The certificate of these data <span class=\"kind exact\">proof</span></h3>";
  if (land.absorbing.length > (proof.absorbs ? 1 : 0)) {
    return `${title}<p>There is none: a run that begins in a trap stays there. More samples help.</p>`;
  }
  const { absorbs, occupancy } = proof;
  let told;
  if (absorbs) {
    told = occupancy > 0.999 ? "<strong>Proved:</strong> from every start the run ends at the teacher, and stays."
      : "The teacher absorbs; that every start leads there is not proved by this method.";
  } else if (occupancy > 0) {
    told = `<strong>Recurrence is proved:</strong> from every start the run leaves the teacher and comes back for ever, and spends at least <strong>${
      Math.floor(1000 * occupancy) / 10}\u00a0%</strong> of its time<sup>*</sup> there.`;
  } else {
    told = "Recurrence is not proved for these data: the method finds no bound above zero. More samples help.";
  }
  const decodes = proof.wrong.every((share) => share < 0.5)
    ? "Also proved: each bit is right for more than half of the time, so the sign of the average ends at the teacher."
    : "That the average decodes every bit is not proved for these data.";
  const how = occupancy > 0 && !absorbs
    ? `<p class="small quiet">The proof is one number for each weight, λ = ${proof.dual.map((x) => x.toFixed(2)).join(", ")}. In the long run a bit is pulled home no further than it was pushed out. Weighed with λ, this leaves at least so much for the teacher; that was checked just now in all ${brief(land.distances.length)} states. <sup>*</sup>Time weighted by step size.</p>`
    : "";
  return `${title}<p>${told}</p><p>${decodes}</p>${how}`;
}
