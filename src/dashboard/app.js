// The frame: which page is shown, how fresh it is, and the theme.

import { h, morphChildren, time } from "./dom.js";
import { listen } from "./live.js";
import * as fleet from "./fleet.js";
import * as change from "./change.js";
import * as alert from "./alert.js";
import * as pipeline from "./pipeline.js";

const main = document.getElementById("main");
const PAGES = { "": fleet, change, alert, pipeline };
let shown = null;

// `#/change/KB1/first` is the page `change` with two arguments.
function place() {
  const [, name = "", ...parts] = location.hash.split("/");
  const page = PAGES[name] ?? fleet;
  return { page, name: page === fleet ? "" : name, parts: parts.map(decodeURIComponent) };
}

async function show() {
  const { page, name, parts } = place();
  const key = location.hash;
  try {
    const made = await page.load(...parts);
    if (location.hash !== key) return;
    const { title, until, nodes } = made;
    document.title = title === "Fleet" ? "ringwatch" : `${title} – ringwatch`;
    const fresh = shown !== name;
    if (fresh) main.replaceChildren(...nodes); else morphChildren(main, nodes);
    shown = name;
    if (until) document.getElementById("until").replaceChildren("evaluated until ", time(until));
    page.drawn?.(...parts);
  } catch (error) {
    if (location.hash !== key) return;
    // What is on the screen stays there while the service is away.
    if (shown !== name) main.replaceChildren(h("p", { class: "loading" }, error.message));
    shown = shown === name ? name : null;
  }
}

async function go() {
  if (location.hash === "#main") return;
  const { name } = place();
  for (const [id, own] of [["nav-fleet", ""], ["nav-pipeline", "pipeline"]]) {
    const link = document.getElementById(id);
    if (own === name) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  const first = shown === null;
  if (shown !== name) scrollTo(0, 0);
  await show();
  if (!first) main.focus({ preventScroll: true });
}

function state(now) {
  const live = document.getElementById("live");
  live.dataset.state = now;
  live.textContent = now === "live" ? "live" : "service away";
}

function theme() {
  const order = ["system", "light", "dark"];
  const button = document.getElementById("theme");
  const say = () => { button.textContent = `Theme: ${document.documentElement.dataset.theme}`; };
  button.addEventListener("click", () => {
    const root = document.documentElement;
    root.dataset.theme = order[(order.indexOf(root.dataset.theme) + 1) % order.length];
    try { localStorage.setItem("theme", root.dataset.theme); } catch { /* for this visit only */ }
    say();
    dispatchEvent(new Event("theme"));
  });
  say();
}

document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
addEventListener("hashchange", go);
theme();
await go();
listen(show, state);
