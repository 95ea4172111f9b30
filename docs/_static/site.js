// What the theme leaves out for keyboards and screen readers.
document.addEventListener("DOMContentLoaded", () => {
  for (const caption of document.querySelectorAll('[role="heading"]:not([aria-level])')) caption.setAttribute("aria-level", "2");
  const names = { "announcement-content": "Research use only", "sidebar-drawer": "Site", "toc-drawer": "On this page" };
  for (const [kind, name] of Object.entries(names)) {
    for (const part of document.querySelectorAll(`aside.${kind}`)) part.setAttribute("aria-label", name);
  }
  for (const box of document.querySelectorAll("pre, .import-graph, .table-wrapper, div.math")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
  }
});
