"use strict";
// Buttons that save each table as CSV or LaTeX and each figure as SVG, made from this page alone.
const SIGNS = {
  "√": "\\surd", "·": "\\cdot", "−": "-", "≤": "\\le", "≥": "\\ge", "±": "\\pm", "∝": "\\propto", "‖": "\\|", "∞": "\\infty",
  "→": "\\to", "²": "^2", "³": "^3", "⁴": "^4", "ⁿ": "^n", "₅₀": "_{50}", "π": "\\pi", "σ": "\\sigma", "α": "\\alpha",
  "β": "\\beta", "γ": "\\gamma", "ε": "\\varepsilon", "θ": "\\theta", "η": "\\eta", "ρ": "\\rho", "Δ": "\\Delta",
};
const sign = new RegExp(Object.keys(SIGNS).join("|"), "g");
const latex = (text) => text
  .replace(/[\\^~]/g, (one) => `\\char${one.charCodeAt(0)} `).replace(/[&%$#_{}]/g, "\\$&").replace(sign, (one) => `$${SIGNS[one]}$`);
const words = (node, plain, mark) => {
  if (node.nodeType === Node.TEXT_NODE) return plain(node.data.replace(/\s+/g, " "));
  const text = [...node.childNodes].map((one) => words(one, plain, mark)).join("");
  return ["SUP", "SUB"].includes(node.nodeName) ? mark(node.nodeName, text) : text;
};
const cells = (table, ...how) => [...table.rows].map((row) => [...row.cells].map((cell) => words(cell, ...how).trim()));
const asCsv = (table) => cells(table, (text) => text, (name, text) => `${name === "SUP" ? "^" : "_"}${text}`)
  .map((row) => row.map((cell) => `"${cell.replaceAll('"', '""')}"`).join(",") + "\r\n").join("");
const asLatex = (table) => {
  const rows = cells(table, latex, (name, text) => `\\text${name === "SUP" ? "super" : "sub"}script{${text}}`);
  return `\\begin{tabular}{${"l".repeat(rows[0].length)}}\n${rows.map((row) => `${row.join(" & ")} \\\\\n`).join("")}\\end{tabular}\n`;
};
const asSvg = (figure) => {
  const copy = figure.querySelector("svg[role]").cloneNode(true);
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("font-family", "sans-serif");
  return new XMLSerializer().serializeToString(copy);
};
const counts = {};
const offer = (thing, after, kinds) => {
  const line = Object.assign(document.createElement("p"), { className: "save small" });
  const place = thing.closest("[id]")?.id ?? "page", kind = place + thing.tagName;
  const number = counts[kind] = (counts[kind] ?? 0) + 1;
  for (const [label, ending, text] of kinds) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: label, title: `Save as ${label}` });
    button.addEventListener("click", () => {
      const href = URL.createObjectURL(new Blob([text(thing)]));
      Object.assign(document.createElement("a"), { href, download: `${place}-${number}.${ending}` }).click();
    });
    line.append(button, " ");
  }
  after.after(line);
};
for (const table of document.querySelectorAll("table")) offer(table, table, [["CSV", "csv", asCsv], ["LaTeX", "tex", asLatex]]);
for (const figure of document.querySelectorAll("figure:has(svg[role])")) offer(figure, figure.lastElementChild, [["SVG", "svg", asSvg]]);
