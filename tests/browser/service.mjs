// The dashboard of a running service in a real browser: `node service.mjs URL TOKEN`.
//
// It has what no demo has: records that it refused, destinations of which one takes nothing, and
// people who may give commands. Its tables are drawn filled, and the forms are obeyed.

import { check, end, everyWay, open } from "./pages.mjs";

const [base, token] = process.argv.slice(2);
const ask = async (path) => (await fetch(base + path)).json();

async function tablesAreFilled(route, least) {
  const page = await open(1600, "light", route);
  await page.goto(`${base}/#/${route}`);
  await page.waitForSelector("main h1");
  for (const [caption, rows] of Object.entries(least)) {
    const drawn = await page.locator(`[aria-label="${caption}"] tbody tr`).count();
    check(drawn >= rows, `${route}: ${drawn} rows of "${caption}"`);
  }
  await page.context().close();
}

// Acknowledges by keyboard alone, then silences; the page says both without a reload.
async function theFormsAreObeyed(alert) {
  const page = await open(1600, "light", "forms");
  await page.goto(`${base}/#/alert/${alert.id}`);
  await page.fill("input[name=author]", "ana");
  await page.fill("input[name=token]", token);
  await page.fill("#ack input[name=reason]", "vendor is called");
  await page.keyboard.press("Enter");
  await page.waitForSelector(".timeline :text('ana acknowledged it: vendor is called')", { timeout: 10_000 });
  await page.selectOption("#silence select[name=hours]", "4");
  await page.fill("#silence input[name=reason]", "it is being rolled back");
  await page.keyboard.press("Enter");
  await page.waitForSelector(".top .note:text('quiet: ')", { timeout: 10_000 });
  const { silences, muted } = await ask("/api/v1/silences");
  const [silence] = Object.values(silences);
  check(muted[alert.id] !== undefined, `it is not muted: ${JSON.stringify(muted)}`);
  check(silence?.author === "ana" && silence.matcher.change === alert.change && silence.matcher.ring === alert.ring
    && silence.matcher.signal === undefined, `the silence is ${JSON.stringify(silence)}`);
  const hours = (Date.parse(silence?.until) - Date.now()) / 3_600_000;
  check(hours > 3.9 && hours <= 4, `it lasts for ${hours} h`);
  await page.context().close();
}

const { alerts } = await ask("/api/v1/fleet");
const alert = alerts.find(({ change, signal }) => change === "kb5040442" && signal === "os_crash");
await tablesAreFilled("pipeline", { Destinations: 2, "The newest rejected records": 2, Partitions: 4 });
await tablesAreFilled(`alert/${alert.id}`, { "Who was told": 2 });
await theFormsAreObeyed(alert);
for (const route of ["pipeline", `alert/${alert.id}`]) await everyWay(base, route);
await end();
