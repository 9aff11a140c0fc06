// The page: reads controls and address, moves the run between frames, draws panels and writes text.

import { bitAt } from "./bits.js";
import { whenResized } from "./canvas.js";
import { certifying } from "./certificate.js";
import { listenToControls, listenToDials, listenToKeys, showControls } from "./controls.js";
import { $, put } from "./dom.js";
import { compressed, gif } from "./gif.js";
import { hover, hovered, hoverOn, pointerOn, whenHovered } from "./hover.js";
import { MOST_WEIGHTS, sweeping } from "./landscape.js";
import { expectation, signal } from "./laws.js";
import { listenToMap, markOnMap } from "./map.js";
import { GLOW, paint, paintTime } from "./panels.js";
import { listenToPlane } from "./plane.js";
import { awaitProof, listenToProof, showProof } from "./proof.js";
import { draw, drawing, initialLatent } from "./problem.js";
import { farthestOf, listenToRails, railsValues } from "./rails.js";
import { Run } from "./run.js";
import { Tape } from "./scrub.js";
import { listenToSaving, record } from "./saving.js";
import { besideOf, fromAddress, pythonLine, runOptions, shellLine, toAddress, USUAL } from "./settings.js";
import { isToldOf, storySettings } from "./story.js";
import { summing } from "./sums.js";
import { buildStory, listenToLinks, OWN_PLACE, present, scrolls, scrollTo, tellStory, watchStory } from "./telling.js";
import { atLeast, recurs, writeCode, writeLaw, writeProof, writeRun } from "./words.js";

const SLICE = 10;  // milliseconds of a frame for the run
const WORK = 6;  // of them for the background task
const WORDS = 120;  // milliseconds between two updates of the numbers in fast runs
const FAST = 2000;  // steps a second
const SAMPLES_OF_AVERAGE = 400;  // points of the average's line
const MOST_STEPS = 1e9;
const FREE = ["speed", "view"];  // settings that do not change the run
const SAME_DATA = ["schedule", "restart", "init", "latent", "beside"];  // settings that do not change the data

const calm = matchMedia("(prefers-reduced-motion: reduce)");

let story = 1;
let settings = storySettings(1);
let data = null;
let run = null;
let tape = null;  // of the run and the one beside it
let law = null;
let land = null;  // landscape and proof of the data, once they are there
let proof = null;
let task = null;  // a generator that prepares data, landscape and proof
let ready = false;  // whether the run is the one of the settings
let plays = false;  // whether it plays, or will once it is ready
let goal = null;  // where to go: {step} or {step, scrubs: true} while the reader drags, {} for the next return
let owed = 0;  // steps that play owes, a fraction
let flashed = null;  // when each weight flipped last
let averages = [];  // [step, wrong weights of the average]
let stale = true;  // whether panels must be drawn
let written = 0;  // when the numbers were written last
let last = 0;  // time of the last frame
let asked = -1;  // the frame that is asked for; 0 while the page rests

/** What the page does. */
function mode() {
  if (!ready) return "preparing";
  if (goal) return "seeking";
  return plays ? "playing" : "still";
}

// ---- Data and run

/** Draw the data; then stand at step `at`, or begin to play. */
function prepare(at, playing = false) {
  [ready, plays, goal] = [false, playing, null];
  law = land = proof = null;
  awaitProof(settings);
  task = preparing(settings, at);
  again();
}

function* preparing({ n, m, surrogate, damping, ...others }, at) {
  const drawn = yield* drawing({ n, m, ...others }), expected = expectation(drawn, surrogate, damping);
  yield;
  data = drawn;
  begin();
  law = expected;
  if (at) goal = { step: at };
  refresh();
  if (n <= MOST_WEIGHTS) {
    land = yield* sweeping(drawn, surrogate, damping * signal(n, m, surrogate));
    tellProof();
    if (!damping) proof = yield* certifying(drawn, land);
  }
  if (proof) showProof(run, land, proof);
  tellProof();
}

/** Start the run again on the same data. */
function begin() {
  const other = besideOf(settings);
  run = begun(settings, run);
  tape = new Tape(run, other && begun(other, tape?.other));
  if (hovered() >= data.n) hover(-1);
  flashed = new Float64Array(data.n).fill(-Infinity);
  run.onFlip = (k) => {
    if (!goal?.step) flashed[k] = last;
  };
  averages = [[0, run.distance]];
  owed = 0;
  goal = null;
  ready = true;
  again();
}

/** A run at its start; it takes over the gradients that `before` has computed. */
function begun(wanted, before) {
  const same = before?.data === data && before.surrogate === wanted.surrogate;
  return new Run(data, { ...runOptions(wanted), gradients: same ? before.gradients : null });
}

function work(until) {
  do {  // at least once, so that a run that takes all the time does not stop the task
    if (task.next().done) task = null;
  } while (task && performance.now() < until);
}

// ---- Time

/** Paint again; a page where nothing moves asks for no frame until then. */
function again() {
  stale = true;
  if (!asked) last = performance.now();
  ask();
}

const ask = () => { asked ||= requestAnimationFrame(frame); };

function frame(now) {
  asked = 0;
  const passed = Math.min(100, Math.max(0, now - last));
  last = now;
  const start = performance.now();
  const deadline = start + SLICE - (task ? WORK : 0), pause = () => performance.now() > deadline;
  if (run && !tape.follow(pause)) {
    stale = true;
  } else if (ready && mode() !== "still") {
    move(passed, tape.other ? (start + deadline) / 2 : deadline);
    tape.follow(pause);
  }
  if (task) work(start + SLICE);
  const glowing = !calm.matches && flashed?.some((when) => now - when < GLOW), still = mode() === "still";
  const rests = still && !stale && !glowing;
  if (task || !rests) ask();
  if (rests || !run) return;
  const all = still || goal !== null || settings.speed <= FAST || now - written > WORDS;
  paint({ run, tape, settings, law, land, averages, flashed, now }, all);
  record(now, still);
  if (all) {
    tellRun();
    written = now;
  }
  stale = false;
}

function move(passed, deadline) {
  const pause = () => performance.now() > deadline;
  if (!goal) playOn(passed, pause);
  else if ("step" in goal) seekStep(pause);
  else seekReturn(pause);
  noteAverage();
  stale = true;
}

function playOn(passed, pause) {
  owed += settings.speed * passed / 1000;
  const whole = Math.floor(owed);
  if (whole > 0) {  // steps that are too many for one frame are dropped
    owed = run.advance(Math.min(settings.steps, run.step + whole), pause) ? owed - whole : 0;
  }
  if (run.step >= settings.steps) halt(`The run has taken its ${settings.steps.toLocaleString("en")} steps. Play continues it.`);
  else if (isOver(run) && (!tape.other || isOver(tape.other))) halt("Nothing can flip any more.");
}

/** Whether nothing has happened for a while, and nothing will. */
const isOver = (one) => one.absorbed && one.step > one.anchor + 60;

/** Run on to the goal, and note the average as often as its line has points. */
function seekStep(pause) {
  const { step, scrubs } = goal, stride = Math.ceil(step / SAMPLES_OF_AVERAGE);
  while (run.step < step) {
    if (!run.advance(Math.min(step, run.step + stride), pause)) return;
    noteAverage();
    if (pause()) return;
  }
  if (scrubs || plays) goal = null;
  else halt();
}

function seekReturn(pause) {
  while (run.nextEvent <= MOST_STEPS) {
    const before = run.distance;
    run.advance(run.nextEvent);
    if (run.distance === 0 && before > 0) {
      halt(run.visited().visits > 0 ? "The run is back at the teacher." : "The run is at the teacher for the first time.");
      return;
    }
    if (pause()) return;
  }
  halt(run.absorbed ? "The run cannot return: nothing can flip any more." : "The run does not return within a billion steps.");
}

/** Go to a step of the run as far as it has come; `done` says that the reader has let go. */
function scrub(step, done) {
  if (!run) return;
  run = tape.from(step);
  [plays, goal] = [false, { step, scrubs: !done }];
  again();
}

/** Take steps, forward or back. */
function moveBy(by) {
  if (!run) return;
  if (by < 0) scrub(Math.max(0, run.step + by), true);
  else stepTo(run.step + by, " ");
}

/** Go to the next flip, or back to the one before. */
function flipBy(by) {
  if (!run || (by < 0 && run.step === 0)) return;
  if (by < 0) scrub(run.history.since(run.step - 1)[0][0], true);
  else if (run.nextEvent <= MOST_STEPS) stepTo(run.nextEvent, "A flip.");
  else halt("Nothing can flip any more.");
}

function stepTo(step, words) {
  again();  // what flips now glows from now on
  run.advance(step);
  noteAverage();
  halt(words);
}

/** Stop where we are. */
function halt(words = "") {
  [plays, goal, owed] = [false, null, 0];
  again();
  keepAddress();
  buttons();
  tellCode();
  if (words) put("said", `Step ${run.step.toLocaleString("en")}: ${run.distance} wrong. ${words}`);
}

function play() {
  if (ready && mode() !== "still") {
    halt("Paused.");
    return;
  }
  plays = !plays;
  again();
  while (ready && run.step >= settings.steps && settings.steps < MOST_STEPS) settings = { ...settings, steps: settings.steps * 10 };
  buttons();
}

function noteAverage() {
  if (run.step <= averages.at(-1)[0]) return;
  const wrong = run.average().filter((x, k) => (x >= 0) !== (data.teacher[k] > 0)).length;
  averages.push([run.step, wrong]);
  if (averages.length > 2 * SAMPLES_OF_AVERAGE) averages = averages.filter((_, i) => i % 2 === 0 || i === averages.length - 1);
}

// ---- Words

function tellRun() {
  const coming = task && run.n <= MOST_WEIGHTS && law && !law.absorbs && !settings.damping && !proof;
  writeRun(run, tape.other, settings, !settings.restart && (coming ? null : proof && recurs(proof, land)));
  tellHands();
  if (mode() === "playing") tellCode();
}

/** Show where the sliders in the pictures stand, the one through the run where it goes. */
function tellHands() {
  const step = goal?.step ?? run.step;
  Object.assign($("at"), { max: Math.max(tape.end.step, 20), value: step });
  $("at").setAttribute("aria-valuetext", `step ${step.toLocaleString("en")}`);
  for (const [name, value] of Object.entries(railsValues(run, farthestOf(tape)))) {
    $("rails").setAttribute(`aria-value${name}`, value);
  }
}

const tellLaw = () => writeLaw(law, proof, land, settings);
const tellCode = () => writeCode(settings, run?.step || settings.steps);

function tellProof() {
  if (proof) tellLaw();
  again();  // the verdict may say more now
  if ($("bound").closest("[data-current]")) put("bound", proof ? `: it is there ${atLeast(proof.occupancy)} of the time` : " (proving …)");
  writeProof(law, land, settings);
}

// ---- Controls

const buttons = () => put("play-word", plays || goal ? "Pause" : "Play");

const place = () => story ?? OWN_PLACE;

/** Show the settings, and say what holds of them. */
function showSettings() {
  $("plane-panel").hidden = settings.n !== 2;
  showControls(settings);
  tellStory(place(), settings, law);
}

/** Show everything that follows from settings, data and run. */
function refresh() {
  markOnMap(settings);
  showSettings();
  buttons();
  tellCode();
  tellLaw();
  tellProof();
  written = 0;
}

function change(name, value) {
  if (settings[name] === value) return;
  const was = settings.damping;
  settings = { ...settings, [name]: value };
  if (name === "damping" && !was) settings.schedule = "damped";  // other schedules hardly damp
  if (name === "damping" && !value) settings.schedule = USUAL.schedule;
  if (name === "init") settings.latent = null;
  if (FREE.includes(name)) {
    showControls(settings);
    if (law) tellLaw();
    again();
    keepAddress();
    return;
  }
  settings = fromAddress(toAddress(story, settings, storySettings, null), storySettings).settings;  // within its bounds
  keepAddress(null);
  if (SAME_DATA.includes(name) && ready) {
    begin();
    refresh();
  } else {
    prepare(0, plays);
    showSettings();
  }
}

/** Begin a new run from latents of the reader's own; it stands still until it is let go. */
function startFrom(latent) {
  settings = { ...settings, latent };
  plays = false;
  begin();
}

function letGo() {
  keepAddress(null);
  refresh();
  play();
}

function keepAddress(at = run && run.step > 0 && mode() === "still" ? run.step : null) {
  history.replaceState(null, "", toAddress(story, settings, storySettings, at));
}

/** Show what an address says. A run plays, but a kept state stands still. */
function enter(fragment) {
  const found = fromAddress(fragment, storySettings);
  story = found.story;
  if (!story && fragment.replace(/^#/, "") === "") story = 1;
  settings = story && !found.story ? storySettings(story) : found.settings;
  prepare(found.at, found.at === null && !calm.matches);
  showSettings();
}

/** Go to an address, and to a place of the story or of the page. */
function visit(address, to) {
  history.pushState(null, "", address);
  enter(location.hash);
  scrollTo(to);
}

/** The address of a step; that of the reader's own run keeps the settings that the reader has changed. */
function addressOf(to) {
  if (to < OWN_PLACE) return `#story=${to}`;
  return toAddress(null, story && isToldOf(story, settings) ? storySettings(null) : settings, storySettings, null);
}

const turnTo = (to, further = to) => visit(addressOf(to), further);

// ---- Listening

/** Let the reader take hold of what is in the pictures: beads, bits and the whole run. */
function listenToHands() {
  const move = (k, u) => startFrom([...run.latents()].map((old, l) => (l === k ? u : old)));
  listenToRails($("rails"), () => ready && { run, most: farthestOf(tape) }, move, letGo);
  listenToPlane($("plane"), () => ready && run, startFrom, letGo);
  for (const [event, done] of [["input", false], ["change", true]]) {
    $("at").addEventListener(event, () => scrub(Math.round($("at").value), done));
  }
  const at = (id) => (x, y) => (ready ? bitAt($(id), run.n, x, y) : -1);
  for (const id of ["teacher-bits", "student-bits"]) hoverOn($(id), at(id));
  // A click puts the latent weight on the other side of zero, as far from it as a start usually is.
  $("student-bits").addEventListener("click", (event) => {
    const k = at("student-bits")(...pointerOn(event.target, event));
    if (k < 0) return;
    move(k, -run.signs[k] / Math.sqrt(run.n));
    letGo();
  });
}

function listen() {
  const paintCharts = (...canvases) => paintTime({ run, tape, settings, averages }, ...canvases);
  listenToSaving(() => { if (mode() === "still") play(); }, paintCharts);
  addEventListener("hashchange", () => {
    enter(location.hash);
    scrollTo(place());
  });
  listenToLinks((to, further) => {
    if (to !== place() || !further) turnTo(to, further);
    else scrollTo(further);
  });
  watchStory((to) => {
    if (to === place()) return;
    history.replaceState(null, "", addressOf(to));
    enter(location.hash);
  });
  listenToDials($("telling"), (name, value, dial) => {
    const there = Number(dial.closest(".step").id.slice("step-".length));
    if (there !== place()) turnTo(there);
    change(name, value);
  });
  listenToProof(again);
  listenToMap((point) => {
    visit(toAddress(null, { ...USUAL, ...point }, storySettings, null), scrolls() ? OWN_PLACE : "stage");
  });
  listenToControls(() => settings, change);
  for (const [id, press] of Object.entries({
    back: () => turnTo(place() - 1),
    next: () => turnTo(place() + 1),
    play,
    one: () => moveBy(1),
    flip: () => flipBy(1),
    return: () => {
      if (!run) return;
      [plays, goal] = [false, {}];
      again();
      buttons();
    },
    again: () => {
      if (!data) return;
      plays = false;
      begin();
      halt("Back at the start.");
      refresh();
    },
    drawn: () => change("latent", null),
  })) $(id).addEventListener("click", press);
  listenToKeys({ play, move: moveBy, flip: flipBy, turn: turnTo, present: (on) => present(place(), on) });
  listenToHands();
  whenHovered(again);
  whenResized(again);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
}

// For tests, and for the console.
globalThis.sterling = {
  compressed, gif, draw, drawing, Run, initialLatent, expectation, sweeping, certifying, summing,
  fromAddress, pythonLine, shellLine, storySettings,
  get page() {
    return { run, tape, data, story, settings, averages, mode: mode(), tasks: Number(task !== null) };
  },
};

history.scrollRestoration = "manual";
buildStory();
listen();
enter(location.hash || document.querySelector(".explorable").dataset.start);
scrollTo(place(), false);
requestAnimationFrame(() => { asked = requestAnimationFrame(frame); });  // the browser paints once before the work begins
