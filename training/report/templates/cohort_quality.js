"use strict";
(() => {
  const byId = (name) => document.getElementById(name);
  const body = byId("people").tBodies[0];
  const heads = [...byId("people").tHead.rows[0].cells];
  const rows = [...body.rows].map((row) => ({ row, text: row.textContent.toLowerCase() }));
  const inWords = new Intl.Collator("en", { numeric: true });
  const valueOf = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.value === undefined ? cell.textContent.trim() : Number(cell.dataset.value);
  };
  const isKnown = (value) => value !== "" && value !== "–";
  const compare = (one, other, sign) => {
    // What is missing stands last, whichever way the rest goes.
    if (!isKnown(one) || !isKnown(other)) return isKnown(other) - isKnown(one);
    const isNumber = typeof one === "number" && typeof other === "number";
    return sign * (isNumber ? one - other : inWords.compare(one, other));
  };
  const sortBy = (column) => {
    const sign = heads[column].getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const head of heads) head.removeAttribute("aria-sort");
    heads[column].setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    const keyed = rows.map((one) => ({ ...one, key: valueOf(one.row, column) }));
    keyed.sort((one, other) => compare(one.key, other.key, sign));
    body.append(...keyed.map((one) => one.row));
  };
  const show = () => {
    const words = byId("people-search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const status = byId("people-status").value;
    const onlyMarked = byId("people-marked").checked;
    let shown = 0;
    for (const { row, text } of rows) {
      const fits = words.every((word) => text.includes(word))
        && (!status || row.dataset.status === status)
        && (!onlyMarked || "marked" in row.dataset);
      row.hidden = !fits;
      shown += fits;
    }
    byId("people-count").textContent = `${shown} of ${rows.length}`;
  };
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sortBy(column));
  });
  // A mark of a person leads to the report, or to the row where there is none; by keyboard, the table does.
  const sections = document.querySelectorAll("#distributions, [id^=by-]");
  for (const section of sections) {
    section.addEventListener("click", (event) => {
      const title = event.target.closest("circle, path")?.querySelector("title");
      const name = title?.textContent.split(": ", 1)[0];
      const found = rows.find(({ row }) => row.cells[0].textContent.trim() === name);
      if (!found) return;
      const link = found.row.querySelector("a");
      if (link) {
        link.click();
        return;
      }
      byId("people-search").value = name;
      byId("people-status").value = "";
      byId("people-marked").checked = false;
      show();
      found.row.scrollIntoView({ block: "center" });
    });
  }
  byId("people-tools").hidden = false;
  byId("people-tools").addEventListener("input", show);
  show();
})();
