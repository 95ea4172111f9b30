"use strict";
(() => {
  const byId = (name) => document.getElementById(name);
  const rows = [...byId("feature-table").tBodies[0].rows].map((row) => [row, row.textContent.toLowerCase()]);
  const show = () => {
    const words = byId("feature-search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const family = byId("feature-family").value;
    const onlyMissing = byId("feature-missing").checked;
    let shown = 0;
    for (const [row, text] of rows) {
      const fits = words.every((word) => text.includes(word))
        && (!family || row.dataset.family === family)
        && (!onlyMissing || row.classList.contains("missing"));
      row.hidden = !fits;
      shown += fits;
    }
    byId("feature-count").textContent = `${shown} of ${rows.length}`;
  };
  byId("feature-tools").hidden = false;
  byId("feature-tools").addEventListener("input", show);
  show();
})();
