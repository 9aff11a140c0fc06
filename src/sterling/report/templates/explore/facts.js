// What is known of the run and of its data, written into the page.

import { $, describe, put } from "./dom.js";
import { MOST_WEIGHTS } from "./landscape.js";
import { besideOf, pythonLine, shellLine } from "./settings.js";
import { landscapeWords, lawWords, provedWords, runWords, verdictWords } from "./words.js";

/** `other` is the run beside it, or null; `comesBack` as in `verdictWords`. */
export function writeRun(run, other, settings, comesBack) {
  const { table, pictures } = runWords(run, settings.view), [look, words] = verdictWords(run, comesBack);
  put("verdict", words);
  $("verdict").className = `verdict ${look}`;
  for (const [id, text] of Object.entries(table)) put(id, text);
  for (const [id, text] of Object.entries(pictures)) describe($(id), text);
  const beside = other && besideOf(settings);  // null while data for new settings are drawn
  $("beside-verdict").hidden = !beside;
  if (beside) put("beside-verdict", `beside it, ${beside.words}: ${verdictWords(other, false)[1].split(":")[0]}`);
}

export function writeLaw(law, proof, land, settings) {
  $("law-key").hidden = law.absorbs || settings.view === "last" || Boolean(settings.restart) || settings.damping > 0;
  tell("law", lawWords(law, settings));
  tell("proved", provedWords(law, proof, land, settings));
}

function tell(column, { note = "", ...words }) {
  $(`${column}-note`).innerHTML = note;
  for (const [row, text] of Object.entries(words)) put(`${column}-${row}`, text);
}

/** What the landscape and its proof say; the panel keeps its height. */
export function writeProof(law, land, settings) {
  $("land").hidden = settings.n > MOST_WEIGHTS;
  $("proof").innerHTML = landscapeWords(land, law) || "<p class='quiet'>Checking all states …</p>";
}

/** The lines that make the same run. */
export function writeCode(settings, steps) {
  put("python", pythonLine(settings, steps));
  const shell = shellLine(settings, steps);
  $("shell").closest(".code").hidden = !shell;
  $("no-shell").hidden = Boolean(shell);
  put("shell", shell ?? "");
}

export function listenToCopies(refused) {
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", () => {
      navigator.clipboard.writeText($(button.dataset.copy).textContent).then(() => {
        button.textContent = "Copied";
        setTimeout(() => { button.textContent = "Copy"; }, 1500);
      }, refused);
    });
  }
}
