"use strict";

// Whatever works only with a script is shown by it.
for (const element of document.querySelectorAll(".needs-script")) {
  element.hidden = false;
}

for (const button of document.querySelectorAll("[data-print]")) {
  button.addEventListener("click", () => window.print());
}

// What is folded away on screen belongs on paper.
window.addEventListener("beforeprint", () => {
  for (const element of document.querySelectorAll("details")) {
    element.open = true;
  }
});

const faults = document.getElementById("faults");
if (faults) {
  faults.focus();
}
