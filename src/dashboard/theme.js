// Applies the theme that was chosen before anything is drawn: system, light or dark.
"use strict";
(() => {
  const root = document.documentElement;
  let chosen = "system";
  try { chosen = localStorage.getItem("theme") || "system"; } catch { /* no storage: the system's */ }
  root.dataset.theme = ["light", "dark"].includes(chosen) ? chosen : "system";
})();
