// The section on the certificate: scales for one bit, one sum for all of them, scales for what follows. The reader sets
// times and factors; each bound is computed here from the gradients at all states.

import { needsDrawing } from "./canvas.js";
import { $, describe, put } from "./dom.js";
import { numberOf } from "./landscape.js";
import { boundWords, noProofWords, sumWords, weightWords } from "./proof_words.js";
import { drawSums, leastShare, summing } from "./sums.js";
import { trapped } from "./words.js";

const STEEPEST = 0.24;  // radians of a beam

let known = null;  // {run, data, land, proof, bits, home, lambda, sums} of the data

/** The strongest push out of bit k while it is right and the weakest pull home while it is wrong, over all states. */
function extremes({ n, teacher }, balance, k) {
  let push = 0, pull = Infinity;
  for (let s = 0; s * n < balance.length; s++) {
    const value = balance[s * n + k];
    if (((s >> k) & 1 ? 1 : -1) === teacher[k]) push = Math.max(push, value);
    else pull = Math.min(pull, -value);
  }
  return { push, pull, share: pull > 0 ? 1 - leastShare(push, pull) : 1 };  // the bit is right for at least the rest
}

/** Forget the proof of earlier data. The section stands still until the next one is found, or says why there is none. */
export function awaitProof(settings) {
  known = null;
  const why = noProofWords(settings);
  $("proving").inert = true;
  if (!why && !$("proving").hidden) return;
  $("proving").hidden = true;
  put("certificate-note", why || "Checking all states …");
}

/** Show the proof of the data of a run; the scales open with the run's own shares, as far as they are possible. */
export function showProof(run, land, proof) {
  const { data } = run, bits = Array.from(data.teacher, (_, k) => extremes(data, proof.balance, k));
  Object.assign($("proving"), { hidden: false, inert: false });
  known = { run, data, land, proof, bits, home: numberOf(data.teacher) };
  const hardest = bits.reduce((worst, one, k) => (one.share > bits[worst].share ? k : worst), 0);
  $("weight").replaceChildren(...bits.map((_, k) => new Option(k + 1, k, k === hardest, k === hardest)));
  $("lambda").replaceChildren(...bits.map((_, k) => {
    const label = document.createElement("label");
    label.innerHTML = `<input type="range" aria-label="Factor of bit ${k + 1}"><span>${k + 1}</span>`;
    return label;
  }));
  $("lambda-best").disabled = !(proof.occupancy > 0);
  setFactors($("lambda-best").disabled ? bits.map(() => 1) : proof.dual);
  $("there").value = Math.ceil(100 * Math.max(known.sums.share, thereOf(run)));
  tellBound();
  openWeight();
}

const thereOf = (run) => run.visited().occupied / Math.max(1, run.step);
const wrongOf = (run, k) => (1 - run.data.teacher[k] * run.average()[k]) / 2;

function openWeight() {
  const k = Number($("weight").value);
  $("wrong").value = Math.floor(100 * Math.min(known.bits[k].share, wrongOf(known.run, k)));
  tellWeight();
}

/** Move the sliders of the factors; the largest goes to the top. */
function setFactors(factors) {
  const most = Math.max(...factors) || 1;
  known.lambda = factors.map((x) => x / most);
  sliders().forEach((slider, k) => { slider.value = 100 * known.lambda[k]; });
  tellSum();
}

const sliders = () => [...$("lambda").querySelectorAll("input")];

function tellWeight() {
  const k = Number($("weight").value), bit = known.bits[k];
  put("wrong-shown", `${$("wrong").value} %`);
  $("wrong-possible").style.width = `${100 * bit.share}%`;
  const { facts, says, ...loaded } = weightWords(k, bit, Number($("wrong").value) / 100, known.proof.wrong[k]);
  $("weight-facts").innerHTML = facts;
  $("weight-says").innerHTML = says;
  load("one", loaded, Math.max(bit.push, Math.abs(bit.pull)));
}

function tellSum() {
  const { home, lambda, proof } = known, best = proof.occupancy > 0 && proof.dual, most = Math.max(...proof.dual);
  known.sums = summing(proof.balance, lambda, home);
  $("lambda-equal").setAttribute("aria-pressed", lambda[0] > 0 && lambda.every((x) => x === lambda[0]));
  $("lambda-best").setAttribute("aria-pressed", best && lambda.every((x, k) => x === best[k] / most));
  put("sum-says", sumWords(known.sums));
  tellBound();
}

function tellBound() {
  const { sums, proof, land } = known, { home, highest, share, values } = sums;
  put("there-shown", `${$("there").value} %`);
  $("there-impossible").style.width = `${100 * share}%`;
  const { says, ...loaded } = boundWords(sums, proof, Number($("there").value) / 100, trapped(proof, land));
  $("bound-says").innerHTML = says;
  load("all", loaded, Math.max(values[home], Math.abs(values[highest] ?? 0)));
}

/** Load scales, whose pans hold up to `full`; the style sheet lets the beam swing. */
function load(name, { loads: [left, right], words }, full) {
  const scales = $(`${name}-scales`), unit = full || 1, angle = STEEPEST * Math.tanh(4 * (right - left) / unit);
  scales.style = `--angle: ${angle}rad; --left: ${Math.min(1, left / unit)}; --right: ${Math.min(1, right / unit)}`;
  describe(scales, `Scales. ${words.map((pair) => pair.join(": ")).join("; ")}. ${
    right > left ? "The right pan sinks." : "The right pan does not sink."}`);
  words.forEach((pair, i) => { $(`${name}-words`).children[i].textContent = pair.join("\n"); });
}

/** Draw what the run changes. */
export function paintProof(run) {
  if (!known || run.data !== known.data || !needsDrawing($("sums"), known.sums)) return;
  known.run = run;
  put("certificate-note", run.restart ? "This run has restarts. The proof is about runs without them." : "");
  drawSums($("sums"), known.sums, run.data, known.land, run.stays, run.step);
}

/** `again` asks for a new picture. */
export function listenToProof(again) {
  const on = (id, event, tell) => $(id).addEventListener(event, () => { tell(); again(); });
  on("weight", "change", openWeight);
  on("wrong", "input", tellWeight);
  on("there", "input", tellBound);
  on("lambda", "input", () => {
    known.lambda = sliders().map((slider) => Number(slider.value) / 100);
    tellSum();
  });
  on("lambda-equal", "click", () => setFactors(known.bits.map(() => 1)));
  on("lambda-one", "click", () => setFactors(known.bits.map((_, k) => Number(k === Number($("weight").value)))));
  on("lambda-best", "click", () => setFactors(known.proof.dual));
}
