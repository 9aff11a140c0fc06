// The map of the parameter space: how the runs of a stored study ended (`benchmarks/papers/map.py`), by n, N/n and σ.

import { $, put } from "./dom.js";

const squares = [...$("maps").querySelectorAll("button")];
const choices = [...document.querySelectorAll("#map .choose button")];
const chosen = { counted: "1", way: "plain" };

/** What a square stands for. */
const point = ({ dataset: { n, ratio, noise } }) => ({ n: Number(n), samples: n * ratio, noise: Number(noise) });
const counts = ({ dataset }) => dataset[chosen.way].split(" ").map(Number);

function words(square) {
  const { n, samples, noise } = point(square), found = counts(square);
  const labels = choices.filter(({ dataset }) => "counted" in dataset).map((button, i) => `${button.textContent} ${found[i]}`);
  const way = choices.find(({ dataset }) => dataset.way === chosen.way).textContent;
  return `n = ${n}, N = ${samples.toLocaleString("en")} = ${samples / n} n, σ = ${noise}, ${way}. Of ${$("maps").dataset.runs} runs: ${labels.join(", ")}.`;
}

/** Colour the squares by what is chosen. */
function show() {
  for (const button of choices) {
    const [[name, value]] = Object.entries(button.dataset);
    button.ariaPressed = chosen[name] === value;
  }
  $("map").classList.toggle("bad", chosen.counted === "3");
  for (const square of squares) {
    square.style.setProperty("--share", `${100 * counts(square)[chosen.counted] / $("maps").dataset.runs}%`);
    square.setAttribute("aria-label", words(square));
  }
  select(squares.find(({ tabIndex }) => tabIndex === 0) ?? squares[0]);
}

/** Say what a square counts; the Tab key leads to it. */
function select(square) {
  for (const other of squares) other.tabIndex = other === square ? 0 : -1;
  put("map-at", words(square));
}

/** The square that an arrow key leads to, if there is one; the maps lie side by side. */
function beside({ dataset: { row, column } }, key) {
  const [right, up] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[key] ?? [0, 0];
  return $("maps").querySelector(`[data-row="${Number(row) + up}"][data-column="${Number(column) + right}"]`);
}

/** Ring the square nearest to settings, if there is one with their n. */
export function markOnMap(settings) {
  const far = (square) => {
    const { n, samples, noise } = point(square), fits = n === settings.n && settings.m === 1 && settings.surrogate === "relu";
    return fits ? 100 * Math.abs(noise - settings.noise) + Math.abs(Math.log(samples / settings.samples)) : Infinity;
  };
  const nearest = squares.reduce((best, square) => (far(square) < far(best) ? square : best));
  for (const square of squares) square.classList.toggle("here", square === nearest && far(square) < Infinity);
  if (far(nearest) < Infinity) select(nearest);
}

/** `play` is called with the settings of a square's first run. */
export function listenToMap(play) {
  for (const button of choices) {
    button.addEventListener("click", () => {
      Object.assign(chosen, button.dataset);
      show();
    });
  }
  for (const square of squares) {
    square.addEventListener("pointerenter", () => put("map-at", words(square)));
    square.addEventListener("focus", () => select(square));
    square.addEventListener("keydown", (event) => {
      const next = beside(square, event.key);
      if (!next || next === square) return;
      event.preventDefault();
      event.stopPropagation();  // the page turns its story by the same keys
      next.focus();
    });
    square.addEventListener("click", () => {
      const { steps, schedule, damping } = $("maps").dataset, damped = chosen.way === "damped";
      play({
        ...point(square), seed: 0, init: 0, steps: Number(steps),
        damping: damped ? Number(damping) : 0, schedule: damped ? "damped" : schedule,
      });
    });
  }
  show();
}
