// The page: reads controls and address, moves the run between frames, draws panels and writes text.

import { balancing, MOST_BALANCED } from "./balance.js";
import { whenResized } from "./canvas.js";
import { certifying } from "./certificate.js";
import { WINDOW } from "./chart.js";
import { listenToControls, listenToDials, showControls } from "./controls.js";
import { $, put } from "./dom.js";
import { listenToCopies, writeCode, writeLaw, writeProof, writeRun } from "./facts.js";
import { listenToHands, tellHands } from "./hands.js";
import { compressed, gif, nearestIn } from "./gif.js";
import { hover, hovered, whenHovered } from "./hover.js";
import { listenToKeys } from "./keys.js";
import { MOST_WEIGHTS, sweeping } from "./landscape.js";
import { chatterShare, expectation, signal } from "./laws.js";
import { listenToMap, markOnMap } from "./map.js";
import { GLOW, paint, paintTime } from "./panels.js";
import { awaitProof, listenToProof, showProof } from "./proof.js";
import { draw, drawing, initialLatent } from "./problem.js";
import { Run } from "./run.js";
import { Tape } from "./scrub.js";
import { listenToSaving, record } from "./saving.js";
import { besideOf, fromAddress, pythonLine, runOptions, shellLine, toAddress, USUAL } from "./settings.js";
import { isToldOf, storySettings } from "./story.js";
import { summing } from "./sums.js";
import { buildStory, listenToLinks, OWN_PLACE, present, scrolls, scrollTo, tellStory, watchStory } from "./telling.js";
import { atLeast, recurs } from "./words.js";

const SLICE = 10;  // milliseconds of a frame for the run
const WORK = 6;  // of them for background tasks
const WORDS = 120;  // milliseconds between two updates of the numbers
const SAMPLES_OF_AVERAGE = 400;  // points of the average's line
const MOST_STEPS = 1e9;

const calm = matchMedia("(prefers-reduced-motion: reduce)");

let story = 1;
let settings = storySettings(1);
let data = null;
let run = null;
let tape = null;  // of the run and the one beside it
let law = null;
let land = null;  // landscape and proof of the data, once they are there
let proof = null;
let tasks = [];  // generators that prepare something
let mode = "still";  // or "playing", "seeking", "preparing"
let resumes = false;  // whether the run that is prepared will play
let goal = null;  // of seeking: a step, or "return"
let scrubs = false;  // whether the reader drags through the run
let owed = 0;  // steps that play owes, a fraction
let flashed = null;  // when each weight flipped last
let averages = [];  // [step, wrong weights of the average]
let stale = true;  // whether panels must be drawn
let written = 0;  // when the numbers were written last
let last = 0;  // time of the last frame

// ---- Data and run

/** Draw the data; then stand at step `at`, or begin to play. */
function prepare(at, plays = false) {
  tasks = [];
  resumes = plays;
  mode = "preparing";
  law = land = proof = null;
  awaitProof(settings);
  const wanted = settings;
  tasks.push((function* () {
    const { damping, surrogate, n, m } = wanted, drawn = yield* drawing(wanted), expected = expectation(drawn, surrogate, damping);
    yield;
    data = drawn;
    begin();
    law = { ...expected, balance: n > MOST_BALANCED ? "large" : "coming" };
    if (at) seek(at);
    else if (mode === "preparing") mode = "still";
    refresh();
    if (resumes && mode === "still") play();
    if (!law.absorbs && !damping && law.balance === "coming") {
      const found = yield* balancing(drawn, wanted.surrogate);
      law = { ...law, ...found, balance: found ? "found" : "none" };
      tellLaw();
      stale = true;
    }
    if (wanted.n <= MOST_WEIGHTS) {
      const found = yield* sweeping(drawn, surrogate, damping * signal(n, m, surrogate));
      land = found;
      stale = true;
      tellProof();
      if (!damping) proof = yield* certifying(drawn, found);
    }
    if (proof) showProof(run, land, proof);
    tellProof();
  })());
}

/** Start the run again on the same data. */
function begin() {
  const other = besideOf(settings);
  run = begun(settings, run);
  tape = new Tape(run, other && begun(other, tape?.other));
  if (hovered() >= data.n) hover(-1);
  flashed = new Float64Array(data.n).fill(-Infinity);
  run.onFlip = (k) => {
    if (typeof goal !== "number") flashed[k] = last;
  };
  averages = [[0, run.distance]];
  owed = 0;
  mode = "still";
  stale = true;
}

/** A run at its start; it takes over the gradients that `before` has computed. */
function begun(wanted, before) {
  const same = before?.data === data && before.surrogate === wanted.surrogate;
  return new Run(data, { ...runOptions(wanted), gradients: same ? before.gradients : null });
}

function work(until) {
  do {  // at least once, so that a run that takes all the time does not stop the tasks
    if (tasks[0].next().done) tasks.shift();
  } while (tasks.length && performance.now() < until);
}

// ---- Time

function frame(now) {
  requestAnimationFrame(frame);
  const passed = Math.min(100, now - last);
  last = now;
  const start = performance.now();
  const deadline = start + SLICE - (tasks.length ? WORK : 0), pause = () => performance.now() > deadline;
  if (run && !tape.follow(pause)) {
    stale = true;
  } else if (mode === "playing" || mode === "seeking") {
    move(passed, tape.other ? (start + deadline) / 2 : deadline);
    tape.follow(pause);
  }
  if (tasks.length) work(start + SLICE);
  if (!run) return;
  const glowing = !calm.matches && flashed.some((when) => now - when < GLOW);
  if (!stale && !glowing && mode === "still") return;
  paint({ run, tape, settings, law, land, averages, flashed, now });
  record(now, mode === "still");
  if (now - written > WORDS || mode === "still") {
    tellRun();
    written = now;
  }
  stale = false;
}

function move(passed, deadline) {
  const pause = () => performance.now() > deadline;
  if (mode === "playing") {
    owed += settings.speed * passed / 1000;
    const whole = Math.floor(owed), until = Math.min(settings.steps, run.step + whole);
    if (whole > 0) {
      owed = run.advance(until, pause) ? owed - whole : 0;  // steps that were too many for one frame are dropped
    }
    if (run.step >= settings.steps) halt(`The run has taken its ${settings.steps.toLocaleString("en")} steps. Play continues it.`);
    else if (isOver(run) && (!tape.other || isOver(tape.other))) halt("Nothing can flip any more.");
  } else if (goal === "return") {
    seekReturn(pause);
  } else {
    seekStep(pause);
  }
  noteAverage();
  stale = true;
}

/** Whether nothing has happened for a while, and nothing will. */
const isOver = (one) => one.absorbed && one.step > one.anchor + 60;

/** Run on to the goal, and note the average as often as its line has points. */
function seekStep(pause) {
  const stride = Math.ceil(goal / SAMPLES_OF_AVERAGE);
  while (run.step < goal) {
    if (!run.advance(Math.min(goal, run.step + stride), pause)) return;
    noteAverage();
    if (pause()) return;
  }
  if (scrubs) [mode, goal] = ["still", null];
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

function seek(step) {
  goal = step;
  mode = "seeking";
}

/** Go to a step of the run as far as it has come; `done` says that the reader has let go. */
function scrub(step, done) {
  if (!run) return;
  run = tape.from(step);
  scrubs = !done;
  seek(step);
}

/** Take steps, forward or back. */
function moveBy(by) {
  if (!run) return;
  if (by < 0) {
    scrub(Math.max(0, run.step + by), true);
    return;
  }
  run.advance(run.step + by);
  noteAverage();
  halt(" ");
}

/** Go to the next flip, or back to the one before. */
function flipBy(by) {
  if (!run || (by < 0 && run.step === 0)) return;
  if (by < 0) {
    scrub(run.history.since(run.step - 1)[0][0], true);
    return;
  }
  const next = run.nextEvent;
  if (next <= MOST_STEPS) run.advance(next);
  noteAverage();
  halt(next <= MOST_STEPS ? "A flip." : "Nothing can flip any more.");
}

/** Stop where we are. */
function halt(words = "") {
  mode = "still";
  goal = null;
  owed = 0;
  stale = true;
  keepAddress();
  buttons();
  tellCode();
  say(words);
}

function play() {
  if (!run) return;
  if (mode === "preparing") {
    resumes = !resumes;
    buttons();
    return;
  }
  if (mode !== "still") {
    halt("Paused.");
    return;
  }
  while (run.step >= settings.steps && settings.steps < MOST_STEPS) settings = { ...settings, steps: settings.steps * 10 };
  mode = "playing";
  buttons();
}

function noteAverage() {
  if (run.step <= averages[averages.length - 1][0]) return;
  const mean = run.average();
  let wrong = 0;
  for (let k = 0; k < run.n; k++) if ((mean[k] >= 0) !== (data.teacher[k] > 0)) wrong++;
  averages.push([run.step, wrong]);
  if (averages.length > 2 * SAMPLES_OF_AVERAGE) averages = averages.filter((_, i) => i % 2 === 0 || i === averages.length - 1);
}

// ---- Words

function say(words) {
  if (words) put("said", `Step ${run.step.toLocaleString("en")}: ${run.distance} wrong. ${words}`);
}

function tellRun() {
  const coming = tasks.length > 0 && run.n <= MOST_WEIGHTS && law && !law.absorbs && !settings.damping && !proof;
  writeRun(run, tape.other, settings, !settings.restart && (coming ? null : proof && recurs(proof, land)));
  tellHands(run, tape);
  if (mode === "playing") tellCode();
}

const tellLaw = () => writeLaw(law, proof, land, settings);
const tellCode = () => writeCode(settings, run?.step || settings.steps);

function tellProof() {
  if (proof) tellLaw();
  stale = true;  // the verdict may say more now
  if ($("bound").closest("[data-current]")) put("bound", proof ? `: it is there ${atLeast(proof.occupancy)} of the time` : " (proving …)");
  writeProof(law, proof, land, settings);
}

// ---- Controls

function buttons() {
  const going = mode === "playing" || mode === "seeking" || (mode === "preparing" && resumes);
  put("play-word", going ? "Pause" : "Play");
}

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
  stale = true;
  written = 0;
}

function change(name, value) {
  if (settings[name] === value) return;
  const was = settings.damping;
  settings = { ...settings, [name]: value };
  if (name === "damping" && !was) settings.schedule = "damped";  // other schedules hardly damp
  if (name === "damping" && !value) settings.schedule = USUAL.schedule;
  if (name === "init") settings.latent = null;
  if (name === "speed" || name === "view") {
    showControls(settings);
    if (law) tellLaw();
    stale = true;
    keepAddress();
    return;
  }
  settings = fromAddress(toAddress(story, settings, storySettings, null), storySettings).settings;  // within its bounds
  keepAddress(null);
  const plays = mode === "playing" || (mode === "preparing" && resumes);
  if (["schedule", "restart", "init", "latent", "beside"].includes(name) && data && mode !== "preparing") {
    begin();  // on the same data
    if (plays) play();
    refresh();
  } else {
    prepare(0, plays);
    showSettings();
  }
}

/** Begin a new run from latents of the reader's own; it stands still until it is let go. */
function startFrom(latent) {
  settings = { ...settings, latent };
  begin();
}

function letGo() {
  keepAddress(null);
  refresh();
  play();
}

function keepAddress(at = run && run.step > 0 && mode === "still" ? run.step : null) {
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

/** The address of a step; that of the reader's own run keeps the settings that the reader has changed. */
function addressOf(to) {
  if (to < OWN_PLACE) return `#story=${to}`;
  return toAddress(null, story && isToldOf(story, settings) ? storySettings(null) : settings, storySettings, null);
}

function turnTo(to) {
  history.pushState(null, "", addressOf(to));
  enter(location.hash);
  scrollTo(to);
}

function listen() {
  listenToSaving(() => { if (mode === "still") play(); }, (...canvases) => paintTime({ run, tape, settings, averages }, ...canvases));
  put("window-name", `the last ${WINDOW} steps`);
  addEventListener("hashchange", () => {
    enter(location.hash);
    scrollTo(place());
  });
  $("back").addEventListener("click", () => turnTo(place() - 1));
  $("next").addEventListener("click", () => turnTo(place() + 1));
  listenToLinks((to, further) => {
    if (to !== place() || !further) turnTo(to);
    if (further) scrollTo(further);
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
  listenToProof(() => { stale = true; });
  listenToMap((point) => {
    history.pushState(null, "", toAddress(null, { ...USUAL, ...point }, storySettings, null));
    enter(location.hash);
    scrollTo(scrolls() ? OWN_PLACE : "stage");
  });
  listenToControls(() => settings, change);
  $("play").addEventListener("click", play);
  $("one").addEventListener("click", () => moveBy(1));
  $("flip").addEventListener("click", () => flipBy(1));
  $("return").addEventListener("click", () => {
    if (!run) return;
    goal = "return";
    mode = "seeking";
    buttons();
  });
  $("again").addEventListener("click", () => {
    if (!data) return;
    begin();
    keepAddress(null);
    refresh();
    say("Back at the start.");
  });
  listenToCopies(() => say("The browser does not let this page copy."));
  listenToKeys({ play, move: moveBy, flip: flipBy, turn: turnTo, present: (on) => present(place(), on) });
  listenToHands(() => run && mode !== "preparing" && { run, tape, goal }, { start: startFrom, drop: letGo, scrub });
  $("drawn").addEventListener("click", () => change("latent", null));
  whenHovered(() => { stale = true; });
  whenResized(() => { stale = true; });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { stale = true; });
}

// For tests, and for the console.
globalThis.sterling = {
  compressed, gif, nearestIn, draw, drawing, Run, initialLatent, expectation, balancing, chatterShare, sweeping, certifying, summing, fromAddress, pythonLine, shellLine, storySettings,
  get page() {
    return { run, tape, data, story, settings, averages, mode, tasks: tasks.length };
  },
};

history.scrollRestoration = "manual";
buildStory();
listen();
enter(location.hash || document.querySelector(".explorable").dataset.start);
scrollTo(place(), false);
requestAnimationFrame(() => requestAnimationFrame(frame));  // the browser paints once before the work begins
