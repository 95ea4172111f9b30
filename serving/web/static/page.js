"use strict";

// Whatever works only with a script is shown by it.
for (const element of document.querySelectorAll(".needs-script")) {
  element.hidden = false;
}

for (const button of document.querySelectorAll("[data-print]")) {
  button.addEventListener("click", () => window.print());
}

// What is folded away on screen belongs on paper. (Panels of tabs are shown there by the style sheet.)
window.addEventListener("beforeprint", () => {
  for (const element of document.querySelectorAll("details")) {
    element.open = true;
  }
});

const faults = document.getElementById("faults");
if (faults) {
  faults.focus();
}

// Sections under one another become tabs, after the pattern of WAI-ARIA; without a script they stay sections.
function makeTabs(box) {
  const panels = [...box.querySelectorAll("[data-tab]")];
  const list = document.createElement("div");
  list.className = "tabs no-print";
  list.setAttribute("role", "tablist");
  list.setAttribute("aria-label", box.getAttribute("aria-label"));
  const tabs = panels.map((panel) => {
    const tab = document.createElement("button");
    tab.type = "button";
    tab.id = `tab-${panel.id}`;
    tab.textContent = panel.dataset.tab;
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", panel.id);
    panel.setAttribute("role", "tabpanel");
    panel.setAttribute("aria-labelledby", tab.id);
    panel.tabIndex = 0;
    list.append(tab);
    return tab;
  });

  function select(chosen, { focus }) {
    tabs.forEach((tab, at) => {
      tab.setAttribute("aria-selected", String(at === chosen));
      tab.tabIndex = at === chosen ? 0 : -1;
      panels[at].classList.toggle("is-away", at !== chosen);
    });
    if (focus) tabs[chosen].focus();
  }

  tabs.forEach((tab, at) => tab.addEventListener("click", () => select(at, { focus: false })));
  list.addEventListener("keydown", (event) => {
    const at = tabs.indexOf(document.activeElement);
    const to = {
      ArrowRight: (at + 1) % tabs.length,
      ArrowLeft: (at + tabs.length - 1) % tabs.length,
      Home: 0,
      End: tabs.length - 1,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    select(to, { focus: true });
  });
  box.removeAttribute("aria-label");
  box.classList.add("is-tabbed");
  box.prepend(list);
  const linked = panels.findIndex((panel) => `#${panel.id}` === window.location.hash);
  select(Math.max(linked, 0), { focus: false });
}

for (const box of document.querySelectorAll("[data-tabs]")) {
  makeTabs(box);
}
