// The section on the certificate: scales for one bit, one sum for all of them, scales for what follows. The reader sets
// times and factors; each bound is computed here from the gradients at all states.

import { needsDrawing, whenResized } from "./canvas.js";
import { $, describe, put } from "./dom.js";
import { hover, hovered, whenHovered } from "./hover.js";
import { numberOf } from "./landscape.js";
import { boundWords, noProofWords, sumWords, weightWords } from "./proof_words.js";
import { drawScales, restingAngle } from "./scales.js";
import { drawSums, leastShare, summing } from "./sums.js";
import { trapped } from "./words.js";

const EASE = 0.16;  // of the beam's way to its rest, in each frame
const calm = matchMedia("(prefers-reduced-motion: reduce)");

let known = null;  // {data, land, proof, balance, home} of the data
let sums = null;
const beams = { one: null, all: null };  // {angle, loads, full, words} of the two scales
let swinging = false;

/** The strongest push out of bit k while it is right and the weakest pull home while it is wrong, over all states. */
function extremes({ data: { n, teacher }, balance }, k) {
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
  known = sums = null;
  const why = noProofWords(settings);
  $("proving").inert = true;
  if (!why && !$("proving").hidden) return;
  $("proving").hidden = true;
  put("certificate-note", why || "Checking all states …");
}

/** Show the proof of the data of a run; the scales open with the run's own shares, as far as they are possible. */
export function showProof(run, land, proof) {
  const { data } = run;
  Object.assign($("proving"), { hidden: false, inert: false });
  known = { run, data, land, proof, balance: proof.balance, home: numberOf(data.teacher) };
  known.bits = Array.from(data.teacher, (_, k) => extremes(known, k));
  const hardest = known.bits.reduce((worst, one, k) => (one.share > known.bits[worst].share ? k : worst), 0);
  $("weight").replaceChildren(...known.bits.map((_, k) => new Option(k + 1, k, k === hardest, k === hardest)));
  $("lambda").replaceChildren(...known.bits.map((_, k) => {
    const label = document.createElement("label");
    label.innerHTML = `<input type="range" min="0" max="100" step="1"><span>${k + 1}</span>`;
    label.firstChild.setAttribute("aria-label", `Factor of bit ${k + 1}`);
    label.addEventListener("pointerenter", () => hover(k));
    label.addEventListener("pointerleave", () => hover(-1));
    return label;
  }));
  $("lambda-best").disabled = !(proof.occupancy > 0);
  setFactors($("lambda-best").disabled ? known.bits.map(() => 1) : proof.dual);
  $("there").value = Math.ceil(100 * Math.max(sums.share, thereOf(run)));
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
  const k = Number($("weight").value), { push, pull, share } = known.bits[k], wrong = Number($("wrong").value) / 100;
  put("wrong-shown", `${$("wrong").value} %`);
  $("wrong-possible").style.width = `${100 * share}%`;
  const { facts, says, words, loads } = weightWords(k, push, pull, share, wrong);
  $("weight-facts").innerHTML = facts;
  $("weight-says").innerHTML = says;
  load("one", loads, Math.max(push, Math.abs(pull)), words);
}

function tellSum() {
  const { balance, home, lambda, proof } = known;
  sums = summing(balance, lambda, home);
  const equal = lambda.every((x) => x === lambda[0]), most = Math.max(...proof.dual) || 1;
  $("lambda-equal").setAttribute("aria-pressed", String(equal && lambda[0] > 0));
  $("lambda-best").setAttribute("aria-pressed", String(proof.occupancy > 0 && lambda.every((x, k) => x === proof.dual[k] / most)));
  put("sum-says", sumWords(sums));
  tellBound();
}

function tellBound() {
  const there = Number($("there").value) / 100, { home, highest, share, values } = sums;
  put("there-shown", `${$("there").value} %`);
  $("there-impossible").style.width = `${100 * share}%`;
  const { says, words, loads } = boundWords(sums, known.proof, there, trapped(known.proof, known.land));
  $("bound-says").innerHTML = says;
  load("all", loads, Math.max(values[home], Math.abs(values[highest] ?? 0)), words);
}

function load(name, loads, full, words) {
  beams[name] = { angle: 0, ...beams[name], loads, full, words };
  describe($(`${name}-scales`), `Scales. ${words.map((pair) => pair.join(": ")).join("; ")}. ${
    loads[1] > loads[0] ? "The right pan sinks." : "The right pan does not sink."}`);
  if (!swinging) swing();
}

/** Let the beams swing to their rest, and draw them. */
function swing() {
  swinging = false;
  for (const [name, beam] of Object.entries(beams)) {
    if (!beam) continue;
    const rest = restingAngle(beam.loads, beam.full), way = rest - beam.angle;
    beam.angle = calm.matches || Math.abs(way) < 1e-3 ? rest : beam.angle + EASE * way;
    if (beam.angle !== rest) swinging = true;
    drawScales($(`${name}-scales`), beam.angle, beam.loads, beam.full, beam.words);
  }
  if (swinging) requestAnimationFrame(swing);
}

/** Mark the share of a run above a slider. */
function mark(id, known, share) {
  $(id).hidden = !known;
  if (known) $(id).style.left = `${100 * share}%`;
}

/** Draw what the run changes. */
export function paintProof(run) {
  if (!sums || run.data !== known.data || !needsDrawing($("sums"), sums)) return;
  known.run = run;
  const covered = run.step > 0 && !run.restart;
  put("certificate-note", run.restart ? "This run has restarts. The proof is about runs without them." : "");
  mark("wrong-run", covered, wrongOf(run, Number($("weight").value)));
  mark("there-run", covered, thereOf(run));
  drawSums($("sums"), sums, run.data, known.land, run.stays, run.step);
}

/** `again` asks for a new picture. */
export function listenToProof(again) {
  whenResized(swing);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", swing);
  whenHovered(() => [...$("lambda").children].forEach((label, k) => label.classList.toggle("hovered", k === hovered())));
  const changed = (id, tell, event = "input") => $(id).addEventListener(event, () => { tell(); again(); });
  changed("weight", openWeight, "change");
  changed("wrong", tellWeight);
  changed("there", tellBound);
  changed("lambda", () => {
    known.lambda = sliders().map((slider) => Number(slider.value) / 100);
    tellSum();
  });
  const pressed = (id, factors) => $(id).addEventListener("click", () => { setFactors(factors()); again(); });
  pressed("lambda-equal", () => known.lambda.map(() => 1));
  pressed("lambda-one", () => known.lambda.map((_, k) => Number(k === Number($("weight").value))));
  pressed("lambda-best", () => known.proof.dual);
}
