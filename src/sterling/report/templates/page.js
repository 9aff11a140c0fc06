"use strict";
// Sorts the summary table. Buttons in the head work with the keyboard; aria-sort states the order.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const key = (row, column) => {
    const text = row.cells[column].dataset.sort;
    const value = Number(text);
    return text === "" || Number.isNaN(value) ? Infinity : value;
  };
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      const rows = [...body.rows].sort((one, other) => {
        const first = key(one, column), second = key(other, column);
        if (first === second) return key(one, 0) - key(other, 0);
        if (first === Infinity || second === Infinity) return first === Infinity ? 1 : -1;
        return down ? second - first : first - second;
      });
      heads.forEach((one) => one.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      body.append(...rows);
      const said = document.getElementById("sorted");
      if (said) said.textContent = `Sorted by ${head.textContent.trim()}, ${down ? "descending" : "ascending"}.`;
    });
  });
}
