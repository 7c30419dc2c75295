// What every page owes, whoever serves it: light and dark, at 360 and 1600 px, no axe violation of
// WCAG 2.2 AA, nothing on the console, no shift of the layout once its content is there, everything
// reached by Tab alone.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];
const failures = [];
export const check = (fine, what) => {
  if (!fine) failures.push(what);
};
export const wait = (ms) => new Promise((done) => setTimeout(done, ms));

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
});

export async function open(width, scheme, name) {
  const context = await browser.newContext({
    viewport: { width, height: width < 600 ? 740 : 1000 }, colorScheme: scheme,
  });
  const page = await context.newPage();
  page.on("pageerror", (error) => failures.push(`${name}: ${error.stack}`));
  page.on("console", (said) => {
    if (["error", "warning"].includes(said.type())) failures.push(`${name}: console: ${said.text()}`);
  });
  return page;
}

// From the moment the page's heading stands in the document; what moves in that very frame counts.
const WATCH_SHIFTS = `
  window.shifts = [];
  window.drawnAt = Infinity;
  new MutationObserver((_, watching) => {
    if (!document.querySelector("main h1")) return;
    window.drawnAt = performance.now();
    watching.disconnect();
  }).observe(document, { childList: true, subtree: true });
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      if (entry.startTime < window.drawnAt) continue;
      window.shifts.push([entry.value, entry.sources.map((one) => one.node?.outerHTML?.slice(0, 120))]);
    }
  }).observe({ type: "layout-shift", buffered: true });
`;

export async function everyWay(base, route, pictures) {
  for (const width of [360, 1600]) {
    for (const scheme of ["light", "dark"]) await onePage(base, route, width, scheme, pictures);
  }
}

async function onePage(base, route, width, scheme, pictures) {
  const name = `${route || "fleet"} at ${width} px, ${scheme}`;
  const page = await open(width, scheme, name);
  await page.addInitScript(WATCH_SHIFTS);
  await page.goto(`${base}/#/${route}`);
  await page.waitForSelector("main h1");
  await page.waitForFunction(() => !document.getElementById("arithmetic")?.textContent.startsWith("Reading"));
  await wait(900);
  // By the debugger's way: the page's own policy forbids scripts from elsewhere.
  await page.evaluate(AXE);
  const { violations } = await page.evaluate((tags) => axe.run(document, { runOnly: tags }), WCAG);
  for (const { id, nodes } of violations) {
    failures.push(`${name}: axe ${id}: ${nodes.slice(0, 3).map((node) => `${node.html} ${node.failureSummary}`).join("\n")}`);
  }
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  check(overflow <= 0, `${name}: ${overflow} px wider than the window`);
  const { shifts, drawnAt } = await page.evaluate(() => ({ shifts: window.shifts, drawnAt: window.drawnAt }));
  check(drawnAt < Infinity, `${name}: nobody saw its heading come`);
  check(shifts.length === 0, `${name}: the layout shifted: ${JSON.stringify(shifts)}`);
  await byKeyboard(page, name);
  if (pictures) {
    const file = `${(route || "fleet").split("/")[0]}-${width}-${scheme}.png`;
    await page.evaluate(() => { scrollTo(0, 0); document.activeElement.blur(); });
    await page.screenshot({ path: `${pictures}/${file}` });
  }
  await page.context().close();
}

// Tab alone goes to everything that can be used, and shows where it is.
async function byKeyboard(page, name) {
  const all = await page.evaluate(() => {
    document.activeElement.blur();
    const usable = [...document.querySelectorAll("a[href], button, input, select, [tabindex='0']")];
    // Kept beside the page: news that come meanwhile would take a mark in it away.
    window.stops = usable.filter((one) => one.checkVisibility());
    return window.stops.length;
  });
  const reached = new Set();
  let unseen = null;
  for (let press = 0; press < all + 5 && reached.size < all; press += 1) {
    await page.keyboard.press("Tab");
    const [stop, outline, html] = await page.evaluate(() => {
      const focused = document.activeElement;
      return [window.stops.indexOf(focused), getComputedStyle(focused).outlineStyle, focused.outerHTML.slice(0, 90)];
    });
    if (stop >= 0) {
      reached.add(stop);
      if (outline === "none") unseen = html;
    }
  }
  check(reached.size === all, `${name}: Tab reached ${reached.size} of ${all}`);
  check(unseen === null, `${name}: the focus is not seen on ${unseen}`);
}

// Says what was wrong, and ends with 1 then.
export async function end() {
  await browser.close();
  for (const failure of failures) console.error(failure);
  console.log(failures.length ? `${failures.length} failures` : "every page is as it should be");
  process.exit(failures.length ? 1 : 0);
}
