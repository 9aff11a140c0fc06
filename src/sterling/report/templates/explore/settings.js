// The settings of the page: the address holds them, controls change them, lines of Python and shell repeat them.

import { signal } from "./laws.js";
import { SURROGATES } from "./problem.js";

export const SAMPLES = [50, 100, 200, 400, 600, 800, 1200, 1600, 2400, 3200, 4800, 6400, 9600, 12800, 25600];
export const WIDTHS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 96, 128, 192, 256];
export const NOISES = [0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.25, 1.5, 2];
export const DAMPINGS = [0, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1];
export const SPEEDS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 1e7];

export const USUAL = Object.freeze({
  n: 12, samples: 1600, m: 1, noise: 0.5, surrogate: "relu", schedule: "power:0.5,0.5", restart: "", damping: 0, seed: 5, init: 5,
  latent: null, beside: "", steps: 1e6, speed: 50, view: "last",
});

/** What a second run on the same data from the same start may be: its words, and where it differs from the first. */
const BESIDE = {
  plain: ["plain", { damping: 0, restart: "" }],
  damped: ["damped", { damping: 0.5, schedule: "damped", restart: "" }],
  restart: ["with restarts", { damping: 0, restart: "300,0.05" }],
  identity: ["identity", { surrogate: "identity" }],
  relu: ["ReLU", { surrogate: "relu" }],
};

const MOST_CODES = 1 << 23;  // input entries of a data set
const MOST_STEPS = 1e9;
const MEMORY = 30;  // steps over which a damped run averages the gradient, if its schedule is "damped"
const FARTHEST = 1e6;  // latents
const isSize = (x) => x >= 1e-6 && x <= 100;

/** A schedule as `Run` takes it, from its text; null if the text is not a schedule. */
export function readSchedule(text) {
  const [kind, rest = "", ...more] = text.split(":"), numbers = rest.split(",").map(Number);
  if (more.length > 0 || numbers.length > 100 || numbers.some((x) => x !== 0 && !isSize(x))) return null;
  const [rate, exponent] = numbers;
  if (kind === "constant" && numbers.length === 1 && rate > 0) return { kind, rate };
  if (kind === "power" && numbers.length === 2 && rate > 0 && exponent <= 1) return { kind, rate, exponent };
  if (kind === "table" && numbers[numbers.length - 1] > 0) return { kind, rates: numbers };
  return null;
}

/** The schedule of settings as `Run` takes it; "damped" is the one that `sterling.train` takes for a damped run. */
export function scheduleOf(settings) {
  const { n, m, damping, surrogate, schedule } = settings;
  if (schedule !== "damped") return readSchedule(schedule);
  return { kind: "constant", rate: m / (MEMORY * damping * signal(n, m, surrogate)) };
}

/** Whether η_t θS stays below ½, without which damping would turn latents over. */
function stays(settings) {
  const { n, m, damping, surrogate } = settings, { rate, rates } = scheduleOf(settings);
  return Math.max(...(rates ?? [rate])) * (1 / m) * damping * signal(n, m, surrogate) < 0.5;
}

/** Settings within their bounds: a damped run has no restarts, and step sizes that fit. */
function fitting(settings) {
  const { n, m, samples, damping, schedule, latent } = settings, fitted = { ...settings };
  if (damping > 0) {
    fitted.restart = "";
    if (!stays(settings)) fitted.schedule = "damped";
  } else if (schedule === "damped") fitted.schedule = USUAL.schedule;
  if (latent?.length !== n) fitted.latent = null;
  fitted.samples = Math.min(samples, Math.max(1, Math.floor(MOST_CODES / n / m)));
  if (!besideOf(fitted)) fitted.beside = "";
  return fitted;
}

/** The settings of the second run, with its words; null where there is none, or where it is the first one again. */
export function besideOf(settings) {
  if (!settings.beside) return null;
  const [words, changes] = BESIDE[settings.beside], other = fitting({ ...settings, ...changes, beside: "" });
  const differs = ["damping", "schedule", "restart", "surrogate"].some((name) => other[name] !== settings[name]);
  return differs ? { ...other, words } : null;
}

/** Options of `Run`. */
export function runOptions(settings) {
  const { surrogate, restart, damping, latent, init } = settings;
  return { surrogate, schedule: scheduleOf(settings), restart: readRestart(restart), damping, init: latent ?? init };
}

/** The text of a schedule: built from its numbers, so nothing else can enter the shell's line. */
const scheduleText = ({ kind, rate, exponent, rates }) => `${kind}:${rates ?? (kind === "power" ? [rate, exponent] : [rate])}`;

/** A restart as `Run` takes it, from EVERY,SCALE; null for a run without restarts. */
export function readRestart(text) {
  const [every, scale, ...more] = text.split(",").map(Number);
  return more.length === 0 && Number.isInteger(every) && every >= 1 && every <= MOST_STEPS && isSize(scale) ? { every, scale } : null;
}

/** Latents from their text; null if a part of it is not a number. */
function readLatent(text) {
  const latent = text.split(",").map((part) => (part.trim() ? Number(part) : NaN));
  return latent.every((u) => Math.abs(u) <= FARTHEST) ? latent : null;
}

/** What `read` finds in a text, as text again; null where it finds nothing. */
const rewritten = (read, write) => (text) => {
  const found = read(text);
  return found && write(found);
};

const whole = (least, most) => (text) => {
  const value = Number(text);
  return text !== "" && Number.isInteger(value) && value >= least && value <= most ? value : null;
};
const decimal = (form) => (text) => (form.test(text) && Number(text) <= 2 ? Number(text) : null);
const READ = {
  n: whole(1, 256),
  samples: whole(1, 100000),
  m: whole(1, 8),
  noise: decimal(/^\d(\.\d{1,2})?$/),
  surrogate: (text) => (SURROGATES.includes(text) ? text : null),
  schedule: (text) => (text === "damped" ? text : rewritten(readSchedule, scheduleText)(text)),
  restart: (text) => (text === "" ? text : rewritten(readRestart, ({ every, scale }) => `${every},${scale}`)(text)),
  damping: decimal(/^\d(\.\d{1,3})?$/),
  seed: whole(0, 999999999),
  init: whole(0, 999999999),
  latent: readLatent,
  beside: (text) => (text === "" || Object.hasOwn(BESIDE, text) ? text : null),
  steps: whole(1, MOST_STEPS),
  speed: whole(1, 1e7),
  view: (text) => (["last", "average"].includes(text) ? text : null),
};

/** The contents of an address: {story, settings, at}; `base(story)` gives what it leaves out. */
export function fromAddress(fragment, base) {
  const given = new URLSearchParams(fragment.replace(/^#/, "")), story = whole(1, 8)(given.get("story") ?? "");
  const settings = { ...base(story) };
  for (const [name, read] of Object.entries(READ)) {
    const value = given.has(name) ? read(given.get(name)) : null;
    if (value !== null) settings[name] = value;
  }
  return { story, settings: fitting(settings), at: whole(0, MOST_STEPS)(given.get("at") ?? "") };
}

/** The address of settings: the step of the story, and what differs from it. */
export function toAddress(story, settings, base, at) {
  const parts = story ? [`story=${story}`] : [];
  const usual = story ? base(story) : {};
  for (const name of Object.keys(READ)) if (settings[name] !== usual[name]) parts.push(`${name}=${settings[name]}`);
  if (at !== null) parts.push(`at=${at}`);
  return `#${parts.join("&")}`;
}

const grouped = (number) => String(number).replace(/\B(?=(\d{3})+(?!\d))/g, "_");

/** What of a line holds: parts that are not false. */
const given = (...parts) => parts.filter((part) => part);

/** The lines that make the same run of `steps` steps, and the second one. Numbers read back to the same floats. */
export function pythonLine(settings, steps) {
  const { n, samples, m, noise, seed } = settings, other = besideOf(settings);
  const problem = given(`n=${n}`, `samples=${samples}`, m !== 1 && `m=${m}`, noise > 0 && `noise=${noise}`);
  return given(
    "import sterling as st",
    `instance = st.Problem(${problem.join(", ")}).draw(seed=${seed})`,
    `orbit = ${trainCall(settings, steps)}`,
    other && `beside = ${trainCall(other, steps)}`,
  ).join("\n");
}

const CALLS = {
  constant: ({ rate }) => `st.Constant(${rate})`,
  power: ({ rate, exponent }) => `st.Power(${rate}, ${exponent})`,
  table: ({ rates }) => `st.Table([${rates.join(", ")}])`,
};

function trainCall(settings, steps) {
  const { surrogate, init, latent, damping } = settings;
  const schedule = scheduleOf(settings), restart = readRestart(settings.restart);
  const options = given(
    `steps=${grouped(steps)}`,
    settings.schedule !== "damped" && `schedule=${CALLS[schedule.kind](schedule)}`,
    surrogate !== "relu" && `surrogate="${surrogate}"`,
    `init=${latent ? `[${latent.join(", ")}]` : init}`,
    damping > 0 && `optimizer=st.SGD(damping=${damping})`,
    restart && `restart=st.Restart(${restart.every}, ${restart.scale})`,
  );
  return `st.train(instance, ${options.join(", ")})`;
}

/** The command that makes the same run; null from latents of one's own, for which the shell has no option. */
export function shellLine({ n, samples, m, noise, surrogate, schedule, restart, seed, init, latent, damping }, steps) {
  return latent ? null : given(
    `sterling train --n ${n} --samples ${samples}`,
    m !== 1 && `--m ${m}`,
    noise > 0 && `--noise ${noise}`,
    `--seed ${seed} --init ${init} --steps ${steps}`,
    schedule !== "damped" && `--schedule ${schedule}`,
    surrogate !== "relu" && `--surrogate ${surrogate}`,
    damping > 0 && `--optimizer sgd:damping=${damping}`,
    restart && `--restart ${restart}`,
  ).join(" ");
}
