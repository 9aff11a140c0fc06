// The sentences and table entries of the page: of a run, of the law for its data, of the landscape and its proof. They are
// written into the page here.

import { brief, WINDOW } from "./chart.js";
import { $, describe, put } from "./dom.js";
import { MOST_WEIGHTS } from "./landscape.js";
import { UNDECIDED } from "./rails.js";
import { besideOf, pythonLine, readRestart, readSchedule, shellLine, USUAL } from "./settings.js";

const percent = (share) => (share > 0 && share < 0.001 ? "below 0.1\u00a0%" : `${(100 * share).toFixed(1)}\u00a0%`);
/** Proved bounds are rounded away from the bound, so the rounded number is proved too. */
export const atLeast = (share) => `at least ${Math.floor(1000 * share) / 10}\u00a0%`;
export const atMost = (number, digits) => `at most ${(Math.ceil(number * 10 ** digits) / 10 ** digits).toFixed(digits)}`;
const total = (numbers) => numbers.reduce((sum, x) => sum + x, 0);
const average = (number) => (number >= 100 ? number.toFixed(0) : number.toFixed(2));

const VERDICTS = {
  OPTIMAL: ["certified", "OPTIMAL, proved: it stays at the teacher"],
  TRAPPED: ["trapped", "TRAPPED, proved: it stays at another state"],
  RECURRENT: ["recurrent", "RECURRENT, seen: it left the teacher and came back"],
};

const SURROGATES = { identity: "the identity", clipped_relu: "the clipped ReLU", hard_tanh: "the hard tanh" };
const TRY = `Some to try: <a href="#n=12&samples=50&noise=0&seed=3&init=2&speed=10">a trap</a>, <a href="#beside=damped&speed=5">with damping beside without</a>, <a
href="#beside=identity&speed=20">two surrogates side by side</a>, <a href="#n=32&samples=1600&noise=1&speed=1000&view=average">more noise and more bits</a>.`;
const SIZES = {
  constant: ({ rate }) => `${rate}, constant`,
  power: ({ rate, exponent }) => `${rate}/(t+1)^${exponent}`,
  table: ({ rates }) => `${rates.join(", ")}, and then the last`,
};

/** What holds of settings that are not those of a step, as HTML; `law` is null before the data are drawn. */
export function ownWords(settings, law, back) {
  const { n, samples, m, noise, surrogate, schedule, damping, latent } = settings, each = samples / n;
  const sizes = ["damped", USUAL.schedule].includes(schedule) ? null : readSchedule(schedule);
  const restart = readRestart(settings.restart), other = besideOf(settings);
  const said = [
    `There are ${each >= 10 ? Math.round(each).toLocaleString("en") : each.toFixed(1)} samples for each weight.`,
    noise > 0 ? `Each label has a normal error with σ = ${noise}.` : "The labels have no errors.",
    m > 1 && `The net counts which of its ${m} hidden units have <i>w·x</i> > 0.`,
    surrogate !== USUAL.surrogate && `The surrogate is ${SURROGATES[surrogate]}.`,
    sizes && `The step sizes are ${SIZES[sizes.kind](sizes)}.`,
    damping > 0 && `Damping holds each bit against a push below ${damping} times the mean pull on a wrong bit.`,
    restart && `Every ${restart.every} steps the run restarts from its average.`,
    latent && "The run starts from latent weights that you have set.",
    other && `Hollow beads show a second run on the same data: ${other.words}.`,
  ].filter((part) => part);
  const stays = law && `<p><strong>${law.absorbs ? "A run that is at the teacher stays there." : "A run that is at the teacher leaves it again."}</strong> The gradient at the teacher proves it for these data.</p>`;
  const home = back ? `<a href="#story=${back}">Back to step ${back}</a>` : TRY;
  return `<p>${said.join(" ")}</p>${stays || ""}<p>${home}</p>`;
}

/** The verdict on a run as [class, words]; `comesBack` says whether endless returns are proved, null while this is computed. */
function verdictWords(run, comesBack) {
  const name = run.verdict();
  if (name === "OPTIMAL" && run.distance > 0) return ["certified", "OPTIMAL, proved: it stays, with every label right"];
  if (name === "RECURRENT" && comesBack === null) return ["recurrent", "RECURRENT, seen so far; proving that it has no end …"];
  if (name === "RECURRENT" && comesBack) return ["recurrent", "RECURRENT, proved: it leaves the teacher and returns without end"];
  return VERDICTS[name] ?? ["", run.distance === 0 ? "at the teacher" : "away from the teacher"];
}

/** The state of a run: texts of the table by the ids of their cells, and labels of the pictures for screen readers. */
function runWords(run, view) {
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
      rails: `Rails of ${n} latent weights: ${run.distance} on the wrong side of zero; of the time averages ${wrong} have the wrong sign, ${undecided} are undecided. Up and down choose a weight, left and right move it, Enter starts the run from there.`,
    },
  };
}

const LAW = "A bit is wrong for <i>p</i>/(<i>p</i> + <i>q</i>), with the push <i>p</i> at the teacher and <i>p</i> + <i>q</i> = S. So each bit is treated by itself.";
const NOTHING = { occupancy: "–", wrong: "–", worst: "–", last: "–", average: "–", returns: "–" };

/** What the law says of a long run: a note as HTML, and texts by the rows of the table. */
function lawWords({ shares, occupancy, absorbs }, { n, restart, damping }) {
  if (damping > 0) return { ...NOTHING, note: "The law is about runs without damping." };
  if (absorbs || restart) return NOTHING;  // with restarts it was not compared with runs
  return {
    ...NOTHING, note: LAW,
    occupancy: percent(occupancy),
    wrong: average(total(shares)),
    worst: `${percent(Math.max(...shares))} of the steps`,
    last: "a matter of luck",
    average: `${shares.filter((share) => share > 0.5).length} of ${n}`,
  };
}

/** What is proved of the data, in the same form: from the gradient at the teacher, and from the proof once it is found. */
function provedWords(law, proof, land, { n, restart, damping }) {
  const words = { ...NOTHING }, known = proof && !restart && !trapped(proof, land);
  if (law.absorbs) {
    const end = known && proof.occupancy > 0.999 ? "from some step on" : "if it gets there";
    Object.assign(words, { occupancy: `all, ${end}`, wrong: `none, ${end}`, last: `none, ${end}`, returns: "none, it cannot leave" });
  } else if (known) {
    const worst = Math.max(...proof.wrong);
    if (proof.occupancy > 0) Object.assign(words, { occupancy: atLeast(proof.occupancy), returns: "without end" });
    words.wrong = atMost(total(proof.wrong), 2);
    if (worst < 1) words.worst = `${atMost(100 * worst, 1)}\u00a0% of the time`;
  }
  if (known && proof.wrong.every((share) => share < 0.5)) words.average = "none, from some step on";
  return { ...words, note: provedNote(law, n, restart, damping) };
}

function provedNote({ absorbs }, n, restart, damping) {
  if (damping > 0) return "Certificates are about runs without damping.";
  if (n > MOST_WEIGHTS) {
    return `${absorbs ? "One gradient proves that no run can leave the teacher; a" : "A"} proof for every start goes through all 2<sup><i>n</i></sup> states. This page does so up to ${MOST_WEIGHTS} weights, <code>sterling certify</code> up to 24.`;
  }
  if (restart) return "The proof holds for runs without restarts.";
  return absorbs ? "" : "The proved shares weight each step by its step size.";
}

/** Whether it is proved that runs from every start leave the teacher and return without end. */
export const recurs = (proof, land) => !proof.absorbs && proof.occupancy > 0 && !trapped(proof, land);

/** Whether a run can get stuck at a state other than the teacher. */
export const trapped = (proof, land) => land.absorbing.length > (proof.absorbs ? 1 : 0);

/** What a sweep through all states found, as HTML; "" before it ends. */
function landscapeWords(land, law) {
  if (!land) return "";
  const others = land.absorbing.length - (law.absorbs ? 1 : 0);
  const traps = `${others === 1 ? "One other state is a trap" : `${others} other states are traps`}, ringed in the picture.`;
  return `<h3>Resting points <span class="kind exact">proved</span></h3><p>All ${brief(land.distances.length)} states were checked. ${
    law.absorbs ? "The teacher is a resting point: no run can leave it."
      : "The teacher is not a resting point: runs leave it."} ${
    others ? traps : "No run can get stuck anywhere else, from any start, if the step sizes have an infinite sum."}</p>`;
}

// ---- Into the page

/** `other` is the run beside it, or null; `comesBack` as in `verdictWords`. */
export function writeRun(run, other, settings, comesBack) {
  const { table, pictures } = runWords(run, settings.view), [look, words] = verdictWords(run, comesBack);
  put("verdict", words);
  $("verdict").className = `verdict ${look}`;
  for (const [id, text] of Object.entries(table)) put(id, text);
  for (const [id, text] of Object.entries(pictures)) describe($(id), text);
  const beside = other && besideOf(settings);  // null while data for new settings are drawn
  $("beside-verdict").hidden = !beside;
  if (beside) put("beside-verdict", `beside it, ${beside.words}: ${verdictWords(other, false)[1].split(":")[0]}`);
}

export function writeLaw(law, proof, land, settings) {
  $("law-key").hidden = law.absorbs || settings.view === "last" || Boolean(settings.restart) || settings.damping > 0;
  tell("law", lawWords(law, settings));
  tell("proved", provedWords(law, proof, land, settings));
}

function tell(column, { note = "", ...words }) {
  $(`${column}-note`).innerHTML = note;
  for (const [row, text] of Object.entries(words)) put(`${column}-${row}`, text);
}

/** What the landscape and its proof say; the panel keeps its height. */
export function writeProof(law, land, settings) {
  $("land").hidden = settings.n > MOST_WEIGHTS;
  $("proof").innerHTML = landscapeWords(land, law) || "<p class='quiet'>Checking all states …</p>";
}

/** The lines that make the same run. */
export function writeCode(settings, steps) {
  put("python", pythonLine(settings, steps));
  const shell = shellLine(settings, steps);
  $("shell").parentElement.hidden = !shell;
  $("no-shell").hidden = Boolean(shell);
  put("shell", shell ?? "");
}
