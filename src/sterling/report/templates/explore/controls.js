// The form, the switch beside the bits, the numbers of the text and the keys: they show the settings and report
// changes.

import { brief } from "./chart.js";
import { $, put } from "./dom.js";
import { DAMPINGS, NOISES, SAMPLES, SPEEDS, WIDTHS } from "./settings.js";

const SLIDERS = {
  n: [WIDTHS, (value) => String(value)],
  samples: [SAMPLES, (value) => value.toLocaleString("en")],
  noise: [NOISES, (value) => String(value)],
  damping: [DAMPINGS, (value) => (value > 0 ? String(value) : "none")],
  speed: [SPEEDS, (value) => (value >= 1e7 ? "full" : brief(value))],
};
const FIELDS = ["surrogate", "schedule", "restart", "m", "seed", "init", "beside"];

const NOTCH = 10;  // pixels of a drag from one value to the next
const TURNS = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, Home: -Infinity, End: Infinity };

const nearest = (values, value) =>
  values.reduce((best, other, i) => (Math.abs(other - value) < Math.abs(values[best] - value) ? i : best), 0);

/** Show settings in the numbers of a text. */
export function showDials(text, settings) {
  for (const dial of text.querySelectorAll("[data-dial]")) {
    const name = dial.dataset.dial, [values, words] = SLIDERS[name];
    dial.textContent = dial.ariaValueText = words(settings[name]);
    Object.assign(dial, { ariaValueMin: 0, ariaValueMax: values.length - 1 });
    dial.ariaValueNow = nearest(values, settings[name]);
  }
}

/** Call change(name, value, dial) when the reader drags a number of the text, or turns it by keys. */
export function listenToDials(story, change) {
  const move = (dial, at) => {
    const [values] = SLIDERS[dial.dataset.dial], to = Math.max(0, Math.min(values.length - 1, at));
    if (to !== place(dial)) change(dial.dataset.dial, values[to], dial);
  };
  const place = (dial) => Number(dial.getAttribute("aria-valuenow"));
  let held = null;
  story.addEventListener("pointerdown", (event) => {
    const dial = event.target.closest("[data-dial]");
    if (!dial) return;
    held = { dial, x: event.clientX, from: place(dial) };
    dial.setPointerCapture(event.pointerId);
  });
  story.addEventListener("pointermove", (event) => {
    if (held) move(held.dial, held.from + Math.round((event.clientX - held.x) / NOTCH));
  });
  for (const end of ["pointerup", "pointercancel"]) story.addEventListener(end, () => { held = null; });
  story.addEventListener("keydown", (event) => {
    const dial = event.target.closest("[data-dial]"), by = TURNS[event.key];
    if (!dial || by === undefined) return;
    event.preventDefault();
    move(dial, place(dial) + by);
  });
}

/** Show settings in the form, and the keys of what is drawn. */
export function showControls(settings) {
  const { n, damping, latent, beside, view } = settings, average = view === "average";
  for (const [name, [values, words]] of Object.entries(SLIDERS)) {
    const text = words(settings[name]);
    Object.assign($(name), { max: values.length - 1, value: nearest(values, settings[name]), ariaValueText: text });
    put(`${name}-shown`, text);
  }
  for (const name of FIELDS) {
    const field = $(name), value = String(settings[name]);
    field.value = value;
    if (field.value === value) continue;
    field.add(new Option(value));  // from an address
    field.value = value;
  }
  $("restart").disabled = damping > 0;
  $("schedule").querySelector("[value=damped]").disabled = !(damping > 0);
  put("more", [...document.querySelectorAll(".choices label")].filter((label) => label.lastElementChild.value).map(settingWords).join(" · "));
  put("push-key", damping > 0 ? "its move, with damping" : "minus its gradient");
  put("student-name", average ? "Student, average" : "Student, now");
  for (const [id, shown] of Object.entries({
    "push-key": n <= 40, "cross-key": n <= 40, "flash-key": n <= 100,  // smaller ones are not drawn
    "rest-key": damping > 0, "beside-key": beside, "beside-line": beside, "restart-key": settings.restart, drawn: latent,
  })) $(id).hidden = !shown;
  $("last").ariaPressed = !average;
  $("average").ariaPressed = average;
}

/** A choice and what it is set to. */
function settingWords(label) {
  const [name, field] = label.children;
  return `${name.textContent} ${field.tagName === "SELECT" ? field.selectedOptions[0].text : field.value}`;
}

/** Call change(name, value) on each change; `settings()` returns the present ones. */
export function listenToControls(settings, change) {
  for (const [name, [values]] of Object.entries(SLIDERS)) {
    $(name).addEventListener("input", () => change(name, values[Number($(name).value)]));
  }
  for (const name of FIELDS) {
    $(name).addEventListener("change", () => {
      const field = $(name), number = field.tagName === "INPUT" || name === "m";
      if (field.value === "" || !field.checkValidity()) showControls(settings());
      else change(name, number ? Number(field.value) : field.value);
    });
  }
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  $("last").addEventListener("click", () => change("view", "last"));
  $("average").addEventListener("click", () => change("view", "average"));
}

/** Call what belongs to a key of the page: {play, move(by), flip(by), turn(place), present(on)}. */
export function listenToKeys({ play, move, flip, turn, present }) {
  addEventListener("keydown", (event) => {
    const { key, target } = event, on = (fields) => target.closest?.(fields);
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (on("input:not([type=range]), select, textarea")) return;
    const by = { ArrowLeft: -1, ArrowRight: 1 }[key];
    if (key === " " && !on("button, a, summary")) {
      if (!event.repeat) play();
    } else if (by && !on("input, [role=slider], [role=listbox]")) (event.shiftKey ? flip : move)(by);
    else if (/^[1-9]$/.test(key)) turn(Number(key));
    else if (key === "f" || key === "F") present();
    else if (key === "Escape") present(false);
    else return;
    event.preventDefault();
  });
}
