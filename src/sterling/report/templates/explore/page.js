// The page: reads controls and address, moves the run between frames, draws panels and writes text.

import { balancing, MOST_BALANCED } from "./balance.js";
import { bitAt, drawBits } from "./bits.js";
import { whenResized } from "./canvas.js";
import { certifying } from "./certificate.js";
import { drawRecent, drawWhole, wholeSpan, WINDOW } from "./chart.js";
import { listenToControls, listenToDials, showControls } from "./controls.js";
import { $, describe, put } from "./dom.js";
import { drawField } from "./field.js";
import { hover, hovered, hoverOn, pointerOn, whenHovered } from "./hover.js";
import { MOST_WEIGHTS, sweeping } from "./landscape.js";
import { chatterShare, expectation, signal } from "./laws.js";
import { listenToProof, paintProof, showProof } from "./proof.js";
import { draw, drawing, initialLatent } from "./problem.js";
import { drawRails, farthestOf, listenToRails, tellRails, weightWords } from "./rails.js";
import { Run } from "./run.js";
import { listenToScrub, Tape } from "./scrub.js";
import { besideOf, fromAddress, pythonLine, readRestart, runOptions, shellLine, toAddress, USUAL } from "./settings.js";
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
const HINT = "Drag a bead or click a bit of the student: a new run begins there.";

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

/** Go to a step of the run as far as it has come; `done` says that the reader has let go. */
function scrub(step, done) {
  if (!run) return;
  run = tape.from(step);
  scrubs = !done;
  seek(step);
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
  const every = readRestart(settings.restart)?.every, { end, other, otherEnd } = tape;
  const top = Math.max(3, ...[end, otherEnd].flatMap((one) => (one ? [one.distance, ...one.history.high, one.history.start] : [])));
  drawRecent($("recent"), run, other, recentTop(), every);
  drawWhole($("whole"), end, otherEnd, top, every, averages, run.step);
  drawRails($("rails"), {
    run, other, glow, average: run.step > 0 ? mean : null, shares: showsLaw() ? law.shares : null, most: farthestOf(tape),
    pull: signal(n, data.m, settings.surrogate),
  });
  tellRails($("rails"), run, farthestOf(tape));
  put("values", hovered() >= 0 ? weightWords(run, hovered()) : HINT);
  if (land && n <= MOST_WEIGHTS) describe($("landscape"), drawField($("landscape"), data, land, run.stays, run.trail, run.step));
  paintProof(run);
}

const showsLaw = () => law && !law.absorbs && law.balance !== "coming" && !settings.restart && !settings.damping;

/** What the upper chart must reach. */
function recentTop() {
  const both = tape.other ? [run, tape.other] : [run];
  return Math.max(3, ...both.flatMap((one) => one.history.since(run.step - WINDOW).map(([, value]) => value)));
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
  const other = besideOf(settings);
  $("beside-verdict").hidden = !other;
  if (other) put("beside-verdict", `beside it, ${other.words}: ${verdictWords(tape.other, false)[1]}`);
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
  const shell = shellLine(settings, steps);
  $("shell").closest(".code").hidden = !shell;
  $("no-shell").hidden = Boolean(shell);
  put("shell", shell ?? "");
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
  if (name === "init") settings.latent = null;
  if (name === "speed" || name === "view") {
    showControls(settings);
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

/** Begin a new run from the present latents, but for weight k at u; it stands still until it is let go. */
function moveLatent(k, u) {
  const latent = [...run.latents()];
  latent[k] = u;
  settings = { ...settings, latent };
  begin();
}

function letGo() {
  keepAddress(null);
  refresh();
  play();
}

/** A click on a bit puts its latent weight on the other side of zero, as far as a start usually is. */
function turnBit(event) {
  const k = run ? bitAt(event.target, data.n, ...pointerOn(event.target, event)) : -1;
  if (k < 0) return;
  moveLatent(k, -run.signs[k] / Math.sqrt(data.n));
  letGo();
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
  listenToRails($("rails"), () => run && { run, most: farthestOf(tape) }, moveLatent, letGo);
  listenToScrub($("whole"), () => ({ ...wholeSpan($("whole"), tape.end), step: typeof goal === "number" ? goal : run.step }), scrub);
  for (const id of ["teacher-bits", "student-bits"]) hoverOn($(id), (x, y) => (data ? bitAt($(id), data.n, x, y) : -1));
  $("student-bits").addEventListener("click", turnBit);
  $("drawn").addEventListener("click", () => change("latent", null));
  whenHovered(() => { stale = true; });
  whenResized(() => { stale = true; });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { stale = true; });
}

// For tests, and for the console.
globalThis.sterling = {
  draw, Run, initialLatent, expectation, balancing, chatterShare, sweeping, certifying, summing, fromAddress, pythonLine, shellLine, storySettings,
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
