// A click on a heading sorts its table, in descending order first: numbers by value, even if written as text (300, 8e-05),
// other cells as text. Absent cells stay last. A third click restores the original order.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const original = [...body.rows];
  for (const head of table.tHead.rows[table.tHead.rows.length - 1].cells) {
    if (!head.textContent) continue;
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const next = { none: "descending", descending: "ascending", ascending: "none" }[head.getAttribute("aria-sort")];
      for (const other of head.parentNode.cells) if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", next);
      body.append(...(next === "none" ? original : sorted(original, head.cellIndex, next === "ascending" ? 1 : -1)));
    });
  }
}

function sorted(rows, column, sign) {
  const absent = (cell) => cell.classList.contains("absent");
  return [...rows].sort((a, b) => {
    const [x, y] = [a.cells[column], b.cells[column]];
    if (absent(x) || absent(y)) return absent(x) - absent(y);
    const [v, w] = [x, y].map((cell) => Number(cell.dataset.value ?? cell.textContent));
    if (!Number.isNaN(v - w)) return sign * (v - w);
    return sign * x.textContent.localeCompare(y.textContent, "en", { numeric: true });
  });
}

// Print what is folded away, too.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((fold) => (fold.open = true)));
