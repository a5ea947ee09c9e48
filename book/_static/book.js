// What the pages add to plain HTML: a field for each prediction, and keyboard access to whatever scrolls sideways.
// Without JavaScript the questions and the figures are all still there.
(() => {
  "use strict";

  // A browser may refuse storage (private windows, blocked site data). The field then works, it just forgets.
  const memory = {
    read(key) {
      try { return localStorage.getItem(key) ?? ""; } catch { return ""; }
    },
    write(key, text) {
      try { text ? localStorage.setItem(key, text) : localStorage.removeItem(key); } catch { /* nothing to do */ }
    },
  };

  function addPredictionField(box, index) {
    const key = `rnnlab:prediction:${location.pathname}:${index}`;
    const label = document.createElement("label");
    const name = document.createElement("span");
    const field = document.createElement("textarea");
    const note = document.createElement("p");

    label.className = "predict-field";
    name.textContent = "Your prediction";
    note.className = "predict-note";
    note.id = `predict-note-${index}`;
    note.textContent = "Kept in this browser only, never sent anywhere.";
    field.rows = 2;
    field.value = memory.read(key);
    field.setAttribute("aria-describedby", note.id);
    field.addEventListener("input", () => memory.write(key, field.value));

    label.append(name, field);
    box.append(label, note);
  }

  // What scrolls must be reachable by keyboard. Only what really overflows gets a tab stop.
  function reachScrollables() {
    for (const element of document.querySelectorAll(".bd-article .cell_output, .pst-scrollable-table-container")) {
      if (element.scrollWidth > element.clientWidth + 1) {
        element.tabIndex = 0;
        element.setAttribute("role", "group");
        element.setAttribute("aria-label", "wide content, scrolls sideways");
      } else {
        element.removeAttribute("tabindex");
        element.removeAttribute("role");
        element.removeAttribute("aria-label");
      }
    }
  }

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll(".bd-article .predict").forEach(addPredictionField);
    // The theme leaves the sidebar outside of all landmarks.
    document.getElementById("pst-primary-sidebar")?.setAttribute("role", "complementary");
    document.getElementById("pst-primary-sidebar")?.setAttribute("aria-label", "Book");
  });
  window.addEventListener("load", reachScrollables);
  window.addEventListener("resize", reachScrollables);
})();
