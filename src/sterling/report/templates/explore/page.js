// The page: reads controls and address, moves the run between frames, draws panels and writes text.

import { balancing, MOST_BALANCED } from "./balance.js";
import { drawBars } from "./bars.js";
import { drawBits } from "./bits.js";
import { whenResized } from "./canvas.js";
import { certifying } from "./certificate.js";
import { drawRecent, drawWhole, WINDOW } from "./chart.js";
import { listenToControls, listenToDials, showControls } from "./controls.js";
import { $, describe, put } from "./dom.js";
import { drawField } from "./field.js";
import { MOST_WEIGHTS, sweeping } from "./landscape.js";
import { chatterShare, expectation, signal } from "./laws.js";
import { listenToProof, paintProof, showProof } from "./proof.js";
import { draw, drawing, initialLatent } from "./problem.js";
import { Run } from "./run.js";
import { fromAddress, pythonLine, readRestart, scheduleOf, shellLine, toAddress, USUAL } from "./settings.js";
import { isToldOf, storySettings } from "./story.js";
import { summing } from "./sums.js";
import { buildStory, OWN_PLACE, scrollTo, tellStory, watchStory } from "./telling.js";
import { landscapeWords, lawWords, proofWords, provedWords, recurs, runWords, verdictWords } from "./words.js";

const SLICE = 10;  // milliseconds of a frame for the run
const WORK = 6;  // of them for background tasks
const GLOW = 500;  // milliseconds that a flip is marked
const WORDS = 120;  // milliseconds between two updates of the numbers
const SAMPLES_OF_AVERAGE = 400;  // points of the average's line
const MOST_STEPS = 1e9;

const calm = matchMedia("(prefers-reduced-motion: reduce)");

let story = 1;
let settings = storySettings(1);
let data = null;
let run = null;
let law = null;
let land = null;  // landscape and proof of the data, once they are there
let proof = null;
let tasks = [];  // generators that prepare something
let mode = "still";  // or "playing", "seeking", "preparing"
let resumes = false;  // whether the run that is prepared will play
let goal = null;  // of seeking: a step, or "return"
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
  showProof(null, null, null);
  const wanted = settings;
  tasks.push((function* () {
    const drawn = yield* drawing(wanted);
    data = drawn;
    begin();
    const { damping, surrogate, n, m } = wanted;
    law = { ...expectation(data, surrogate, damping), balance: wanted.n > MOST_BALANCED ? "large" : "coming" };
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
    showProof(drawn, land, proof);
    tellProof();
  })());
}

/** Start the run again on the same data. */
function begin() {
  run = new Run(data, {
    surrogate: settings.surrogate,
    schedule: scheduleOf(settings),
    restart: readRestart(settings.restart),
    damping: settings.damping,
    init: settings.init,
  });
  flashed = new Float64Array(data.n).fill(-Infinity);
  run.onFlip = (k) => {
    flashed[k] = last;
  };
  averages = [[0, run.distance]];
  owed = 0;
  mode = "still";
  stale = true;
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
  if (mode === "playing" || mode === "seeking") move(passed, start + SLICE - (tasks.length ? WORK : 0));
  if (tasks.length) work(start + SLICE);
  if (!run) return;
  const glowing = !calm.matches && flashed.some((when) => now - when < GLOW);
  if (!stale && !glowing && mode === "still") return;
  paint(now);
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
    else if (run.absorbed && run.step > run.anchor + 60) halt("Nothing can flip any more.");
  } else if (goal === "return") {
    seekReturn(pause);
  } else {
    seekStep(pause);
  }
  noteAverage();
  stale = true;
}

/** Run on to the goal, and note the average as often as its line has points. */
function seekStep(pause) {
  const stride = Math.ceil(goal / SAMPLES_OF_AVERAGE);
  while (run.step < goal) {
    if (!run.advance(Math.min(goal, run.step + stride), pause)) return;
    noteAverage();
    if (pause()) return;
  }
  halt();
}

function seekReturn(pause) {
  let count = 0;
  while (run.nextEvent <= MOST_STEPS) {
    const before = run.distance;
    run.advance(run.nextEvent);
    if (run.distance === 0 && before > 0) {
      halt(run.visited().visits > 0 ? "The run is back at the teacher." : "The run is at the teacher for the first time.");
      return;
    }
    if ((++count & 15) === 0 && pause()) return;
  }
  halt(run.absorbed ? "The run cannot return: nothing can flip any more." : "The run does not return within a billion steps.");
}

function seek(step) {
  goal = step;
  mode = "seeking";
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
  const mean = run.average();
  let wrong = 0;
  for (let k = 0; k < run.n; k++) if ((mean[k] >= 0) !== (data.teacher[k] > 0)) wrong++;
  averages.push([run.step, wrong]);
  if (averages.length > 2 * SAMPLES_OF_AVERAGE) averages = averages.filter((_, i) => i % 2 === 0 || i === averages.length - 1);
}

// ---- Pictures

function paint(now) {
  put("clock", run.step.toLocaleString("en"));
  put("is-last", `${run.distance} of ${data.n}`);
  const { teacher, n } = data, mean = run.average(), average = settings.view === "average";
  const shown = average ? Int8Array.from(mean, (x) => (x >= 0 ? 1 : -1)) : run.signs;
  drawBits($("teacher-bits"), teacher, () => false, () => 0);
  const fresh = (k) => Number(run.anchor > 0 && run.step <= run.anchor + 1 && run.since[k] === run.anchor);
  const glow = calm.matches ? fresh : (k) => Math.max(0, 1 - (now - flashed[k]) / GLOW);
  drawBits($("student-bits"), shown, (k) => shown[k] !== teacher[k], average ? () => 0 : glow);
  const { high } = run.history, every = readRestart(settings.restart)?.every;
  const top = Math.max(3, run.distance, ...high, run.history.start);
  drawRecent($("recent"), run, recentTop(), every);
  drawWhole($("whole"), run, top, every, averages);
  drawBars($("bars"), run.step > 0 ? mean : null, teacher, showsLaw() ? law.shares : null);
  if (land && n <= MOST_WEIGHTS) describe($("landscape"), drawField($("landscape"), data, land, run.stays, run.trail, run.step));
  paintProof(run);
}

const showsLaw = () => law && !law.absorbs && law.balance !== "coming" && !settings.restart && !settings.damping;

/** What the upper chart must reach. */
function recentTop() {
  return Math.max(3, ...run.history.since(run.step - WINDOW).map(([, value]) => value));
}

// ---- Words

function say(words) {
  if (words) put("said", `Step ${run.step.toLocaleString("en")}: ${run.distance} wrong. ${words}`);
}

function tellRun() {
  const { table, pictures } = runWords(run, settings.view), [look, words] = verdictWords(run, proof && recurs(proof, land) && !settings.restart);
  put("verdict", words);
  $("verdict").className = `verdict ${look}`;
  for (const [id, text] of Object.entries(table)) put(id, text);
  for (const [id, text] of Object.entries(pictures)) describe($(id), text);
  if (mode === "playing") tellCode();
}

function tellLaw() {
  $("restart-key").hidden = !settings.restart;
  $("law-key").hidden = law.absorbs || Boolean(settings.restart) || settings.damping > 0;
  for (const [column, { note, table }] of [
    ["law", lawWords(law, settings)], ["proved", provedWords(law, proof, land, settings)],
  ]) {
    $(`${column}-note`).innerHTML = note;
    for (const [id, text] of Object.entries(table)) put(id, text);
  }
}

function tellCode() {
  const steps = run?.step || settings.steps;
  put("python", pythonLine(settings, steps));
  put("shell", shellLine(settings, steps));
}

/** What the landscape and its proof say; the panel keeps its height. */
function tellProof() {
  $("land").hidden = settings.n > MOST_WEIGHTS;
  if (proof) tellLaw();
  stale = true;  // the verdict may say more now
  $("proof").innerHTML = landscapeWords(land, law) + proofWords(proof, land, settings) || "<p class='quiet'>Checking all states …</p>";
}

// ---- Controls

function buttons() {
  const going = mode === "playing" || mode === "seeking" || (mode === "preparing" && resumes);
  put("play-word", going ? "Pause" : "Play");
}

const place = () => story ?? OWN_PLACE;

/** Show the settings, and say what holds of them. */
function showSettings() {
  showControls(settings);
  tellStory(place(), settings, law);
}

/** Show everything that follows from settings, data and run. */
function refresh() {
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
  if (name === "speed" || name === "view") {
    showControls(settings);
    stale = true;
    keepAddress();
    return;
  }
  settings = fromAddress(toAddress(story, settings, storySettings, null), storySettings).settings;  // within its bounds
  keepAddress(null);
  const plays = mode === "playing" || (mode === "preparing" && resumes);
  if (["schedule", "restart", "init"].includes(name) && data && mode !== "preparing") {
    begin();  // on the same data
    if (plays) play();
    refresh();
  } else {
    prepare(0, plays);
    showSettings();
  }
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

/** A link to a step of the story turns to it, and scrolls to the section that it names. */
function turnByLinks() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#story='], a[href='#own']");
    if (!link) return;
    event.preventDefault();
    const to = Number(new URLSearchParams(link.hash.slice(1)).get("story")) || OWN_PLACE;
    if (to !== story || !link.dataset.to) turnTo(to);
    if (link.dataset.to) scrollTo(link.dataset.to);
  });
}

function listen() {
  put("window-name", `the last ${WINDOW} steps`);
  addEventListener("hashchange", () => {
    enter(location.hash);
    scrollTo(place());
  });
  $("back").addEventListener("click", () => turnTo(place() - 1));
  $("next").addEventListener("click", () => turnTo(place() + 1));
  turnByLinks();
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
  listenToControls(() => settings, change);
  $("play").addEventListener("click", play);
  $("one").addEventListener("click", () => {
    if (!run) return;
    run.advance(run.step + 1);
    noteAverage();
    halt(" ");
  });
  $("flip").addEventListener("click", () => {
    if (!run) return;
    const next = run.nextEvent;
    if (next <= MOST_STEPS) run.advance(next);
    noteAverage();
    halt(next <= MOST_STEPS ? "A flip." : "Nothing can flip any more.");
  });
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
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", () => {
      navigator.clipboard.writeText($(button.dataset.copy).textContent).then(() => {
        button.textContent = "Copied";
        setTimeout(() => { button.textContent = "Copy"; }, 1500);
      }, () => say("The browser does not let this page copy."));
    });
  }
  whenResized(() => { stale = true; });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { stale = true; });
}

// For tests, and for the console.
globalThis.sterling = {
  draw, Run, initialLatent, expectation, balancing, chatterShare, sweeping, certifying, summing, fromAddress, pythonLine, shellLine, storySettings,
  get page() {
    return { run, data, story, settings, averages, mode, tasks: tasks.length };
  },
};

history.scrollRestoration = "manual";
buildStory();
listen();
enter(location.hash);
scrollTo(place(), false);
requestAnimationFrame(() => requestAnimationFrame(frame));  // the browser paints once before the work begins
