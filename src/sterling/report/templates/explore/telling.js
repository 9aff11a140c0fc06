// The story on the page: its steps, their numbers to drag, and which step is current.

import { showDials } from "./controls.js";
import { $, put } from "./dom.js";
import { isToldOf, STORY, storySettings } from "./story.js";
import { ownWords } from "./words.js";

/** The section for settings that belong to no step. */
const OWN = { title: "Your own run", setup: "{n} weights, {samples} samples, label noise σ\u00a0=\u00a0{noise}, damping θ\u00a0=\u00a0{damping}.", text: "" };
export const PLACES = [...STORY, OWN];
export const OWN_PLACE = PLACES.length;
const LINE = "-40% 0px -60% 0px";  // a step is current while it crosses this line of the window
const REST = 150;  // milliseconds for which it must

const NAMES = { n: "Weights", samples: "Samples", noise: "Label noise σ", damping: "Damping θ" };
const dial = (name) => `<span class="dial" role="slider" tabindex="0" data-dial="${name}" aria-label="${NAMES[name]}"></span>`;
const addressOf = (place) => (place === OWN_PLACE ? "#own" : `#story=${place}`);
const section = (place) => $(`step-${place}`);

/** Build the steps and the links to them. */
export function buildStory() {
  const parts = PLACES.map(({ title, setup, text }, i) => `<section class="step" id="step-${i + 1}" aria-labelledby="head-${i + 1}">
<h2 id="head-${i + 1}">${title}</h2><p>${setup.replace(/\{(\w+)\}/g, (_, name) => dial(name))}</p><div class="text">${text}</div><div class="own"></div></section>`);
  $("telling").innerHTML = parts.join("");
  $("story").innerHTML = PLACES.map(({ title }, i) =>
    `<li><a href="${addressOf(i + 1)}" title="${title}">${i + 1 < OWN_PLACE ? i + 1 : "✎"}<span class="out-of-sight">: ${title}</span></a></li>`).join("");
  document.documentElement.classList.add("built");
}

/** Show where the reader is, and say of its settings what holds. */
export function tellStory(place, settings, law) {
  [...$("story").querySelectorAll("a")].forEach((link, i) => {
    link.ariaCurrent = i + 1 === place ? "step" : null;
    link.toggleAttribute("data-left", i + 1 === place && place < OWN_PLACE && !isToldOf(place, settings));
  });
  PLACES.forEach(({ title }, i) => {
    const here = i + 1 === place, own = i + 1 === OWN_PLACE || (here && !isToldOf(place, settings)), part = section(i + 1);
    part.toggleAttribute("data-current", here);
    part.querySelector(".text").hidden = own;
    put(`head-${i + 1}`, own ? OWN.title : title);
    part.querySelector(".own").innerHTML = own && here ? ownWords(settings, law, place < OWN_PLACE && place) : "";
    showDials(part, here ? settings : storySettings(STORY[i] && i + 1));
  });
  put("headline", $(`head-${place}`).textContent);
  $("back").disabled = place === 1;
  $("next").disabled = place === OWN_PLACE;
}

/** Whether the steps scroll past the stage, or only the current one is shown. */
export const scrolls = () => getComputedStyle($("stage")).position === "sticky";

let aims = false;  // whether the page has scrolled here by itself, and the reader has not yet moved on
let timer = 0;  // until the reader has come to a step

/** Scroll to a step, or the element of an id. */
export function scrollTo(place, smooth = true) {
  const behavior = smooth && !matchMedia("(prefers-reduced-motion: reduce)").matches ? "smooth" : "instant";
  if (typeof place === "number" && !scrolls()) return;
  aims = true;
  clearTimeout(timer);
  if (place === 1) window.scrollTo({ top: 0, behavior });
  else (section(place) ?? $(place)).scrollIntoView({ behavior });
}

/** Call arrive(place) where the reader has scrolled to a step; who has gone past all steps is at the last one. */
export function watchStory(arrive) {
  const past = () => $("telling").getBoundingClientRect().bottom < 0.4 * innerHeight;
  const watcher = new IntersectionObserver((entries) => {
    const entry = entries.find((one) => one.isIntersecting);
    if (aims || !scrolls() || !(entry || past())) return;
    clearTimeout(timer);
    timer = setTimeout(() => arrive(entry ? Number(entry.target.id.slice("step-".length)) : OWN_PLACE), REST);
  }, { rootMargin: LINE });
  for (const part of $("telling").children) watcher.observe(part);
  for (const act of ["wheel", "touchmove", "keydown", "pointerdown"]) addEventListener(act, () => { aims = false; }, { passive: true });
}

/** Call turn(place, further) where a link to a step is clicked; it may name an element further on to scroll to. */
export function listenToLinks(turn) {
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#story='], a[href='#own']");
    if (!link) return;
    event.preventDefault();
    turn(Number(new URLSearchParams(link.hash.slice(1)).get("story")) || OWN_PLACE, link.dataset.to);
  });
}

/** Show the stage alone, in large type; again, or with false, the story at a step. */
export function present(place, on) {
  if (on === false && !document.documentElement.matches(".presenting")) return;
  document.documentElement.classList.toggle("presenting", on);
  scrollTo(place, false);
}
