// The debug page of a daemon with 200 simulated sessions, in headless Chromium: UNDERSTUDY says which program,
// CHROMIUM which browser, SESSIONS how many, SCREENSHOTS where the pictures go.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { start, token } from "./fleet.mjs";

const program = process.env.UNDERSTUDY ?? new URL("../../../bin/understudy", import.meta.url).pathname;
const browserPath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const pictures = process.env.SCREENSHOTS ?? new URL("../../../.cache/screenshots", import.meta.url).pathname;
const sessions = Number(process.env.SESSIONS ?? 200);
const axe = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

let daemon, browser;

before(async () => {
  assert.ok(existsSync(browserPath), `no browser at ${browserPath}`);
  mkdirSync(pictures, { recursive: true });
  daemon = await start(program, sessions);
  browser = await chromium.launch({
    executablePath: browserPath,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
});

after(async () => {
  await browser?.close();
  await daemon?.stop();
});

// open gives a page and what is wrong with it: whatever the console says above info, and every request that fails.
async function open(options = {}, address = "") {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  context.setDefaultTimeout(90_000); // for a machine that has other things to do
  const page = await context.newPage();
  const wrong = [];
  page.on("console", (m) => {
    // That an action wants the token is said with a status, which the console calls an error.
    if (["error", "warning"].includes(m.type()) && !m.text().includes("401")) wrong.push(m.text());
  });
  page.on("pageerror", (e) => wrong.push(String(e)));
  page.on("request", (r) => {
    if (!r.url().startsWith(new URL(daemon.page).origin)) wrong.push("asks elsewhere: " + r.url());
  });
  await page.addInitScript(() => {
    addEventListener("securitypolicyviolation", (e) => console.error("content policy: " + e.violatedDirective + " " + e.blockedURI));
    globalThis.shifts = [];
    new PerformanceObserver((list) => {
      for (const e of list.getEntries()) {
        // A number at the right end of its cell that has one more digit is told as moved from a place to the same.
        const moved = e.sources.filter((s) => JSON.stringify(s.previousRect) !== JSON.stringify(s.currentRect));
        if (moved.length && !e.hadRecentInput && e.startTime > (globalThis.settled ?? 0)) shifts.push(moved.map((s) => `${s.node?.nodeName}#${s.node?.id}.${s.node?.className} ${s.node?.textContent?.slice(0, 60)} in ${s.node?.parentElement?.outerHTML.slice(0, 120)} ${JSON.stringify(s.previousRect)} ${JSON.stringify(s.currentRect)}`));
      }
    }).observe({ type: "layout-shift", buffered: true });
  });
  await page.goto(daemon.page + address);
  return { context, page, wrong };
}

async function giveToken(page) {
  await page.locator("#token input").fill(token);
  await page.getByRole("button", { name: "Go on" }).click();
}

test("it shows what needs somebody, what is in trouble, and the tree", async () => {
  const { context, page, wrong } = await open();
  await page.getByText("live", { exact: true }).waitFor();
  await page.locator('#trouble li[id$="%2Fparked"]').getByText("not tried again until it is restarted").waitFor();
  assert.equal(await page.locator("table.tree tbody tr").count(), 100);
  await page.getByText(`of ${sessions + 5}`).waitFor();
  await page.getByRole("link", { name: "next" }).click();
  await page.locator("tr", { hasText: daemon.names[120] }).waitFor();
  assert.deepEqual(wrong, []);
  await context.close();
});

test("an approval is given on the page, and the tool runs", async () => {
  const { context, page, wrong } = await open();
  const sent = daemon.send("asking", '[[ask:Bash {"command":"echo it-ran-after-all"}]]');
  const asks = page.locator("#needs li", { hasText: "asking" });
  await asks.getByText("echo it-ran-after-all").waitFor();
  assert.match(await page.title(), /^\(\d+\) Understudy$/);
  await page.locator("tr", { hasText: "asking" }).getByText("waiting").waitFor();
  await page.screenshot({ path: join(pictures, "asking.png") });
  await page.setViewportSize({ width: 1200, height: 640 });
  const readme = await page.screenshot({ path: join(pictures, "page.png") }); // docs/images/page.png is one of these
  assert.ok(readme.length < 150_000, `${readme.length} bytes`);
  await page.setViewportSize({ width: 1440, height: 900 });
  await asks.getByRole("button", { name: "Allow" }).click();
  await giveToken(page);
  await page.getByText("allowed", { exact: true }).waitFor();
  await page.locator("#needs").getByText("Nothing waits for you.").waitFor();
  await sent;
  await page.getByRole("link", { name: "asking", exact: true }).click();
  await page.locator("table.tools tr", { hasText: "echo it-ran-after-all" }).locator(".badge", { hasText: /ok$/ }).waitFor();
  const records = await daemon.command("audit", "query", "--session", "asking", "--kind", "tool.result", "--json");
  assert.match(records, /it-ran-after-all/, "the tool's result is on record");
  assert.deepEqual(wrong, []);
  await context.close();
});

test("a restart from the page raises the generation", async () => {
  const { context, page, wrong } = await open({}, "sessions/worker-002");
  await page.getByText("generation 1", { exact: true }).waitFor();
  await page.getByRole("button", { name: "Restart" }).click();
  await giveToken(page);
  await page.getByText("worker-002 restarted").waitFor();
  await page.getByText("generation 2", { exact: true }).waitFor();
  await page.locator("#g-1").getByText("stopped").waitFor();
  // To stop it takes two steps; Escape takes the first one back.
  await page.getByRole("button", { name: "Stop…" }).click();
  await page.getByText("Stop worker-002?").waitFor();
  await page.keyboard.press("Escape");
  await page.getByText("Stop worker-002?").waitFor({ state: "hidden" });
  assert.deepEqual(wrong, []);
  await context.close();
});

test("what was spawned is removed from the page, and what cannot be says why", async () => {
  await daemon.command("spawn", "helper");
  const turn = daemon.send("helper", "[[sleep:10m]]").catch(() => {});
  const { context, page, wrong } = await open({}, "sessions/helper");
  await page.locator(".title .badge", { hasText: "busy" }).waitFor();
  const toast = page.locator("#toast");
  const remove = page.getByRole("button", { name: "Remove…" });
  await remove.click();
  await page.getByRole("button", { name: "Remove it", exact: true }).click();
  await giveToken(page);
  await toast.getByText(/^session helper: .*: a turn is running$/).waitFor();
  assert.match(page.url(), /sessions\/helper$/, "it is there still");
  await remove.click(); // the dialog for the token has closed the sheet
  await page.getByRole("button", { name: "Interrupt and remove it" }).click();
  await page.getByRole("heading", { name: "Tree", exact: true }).waitFor();
  await turn;
  assert.equal((await page.goto(daemon.page + "sessions/helper")).status(), 404);

  // One of the configuration has no such button, and the page says what there is instead.
  await page.goto(daemon.page + "sessions/worker-005");
  await page.getByRole("button", { name: "Stop…" }).click();
  await page.getByText("It is in the configuration and cannot be removed").waitFor();
  await page.keyboard.press("Escape");
  assert.equal(await remove.count(), 0);

  // A page may be old: what it offers then is refused, and it says why.
  await daemon.command("spawn", "helper");
  await page.goto(daemon.page + "sessions/helper");
  await page.getByText("live", { exact: true }).waitFor();
  await page.keyboard.press("p");
  await page.getByText("paused", { exact: true }).waitFor();
  await daemon.reload("helper");
  await remove.click();
  await page.getByRole("button", { name: "Remove it", exact: true }).click();
  await toast.getByText("session helper: it is in the configuration, and would come back").waitFor();
  await page.keyboard.press("Escape");
  await page.keyboard.press("p");
  await remove.waitFor({ state: "detached" });
  await daemon.reload();
  await page.getByText("gone from the tree").waitFor();
  assert.deepEqual(wrong.filter((text) => !/status of 40[49]/.test(text)), [], "beside what was refused, and what is gone");
  await context.close();
});

test("without the script it shows the same", async () => {
  const { context, page } = await open({ javaScriptEnabled: false }, "?faults=1");
  await page.locator('#trouble li[id$="%2Fparked"]').waitFor();
  assert.ok((await page.locator("table.tree tbody tr").count()) < 10);
  await page.locator("#q").fill("worker-00");
  await page.getByRole("button", { name: "Filter", exact: true }).click();
  assert.match(page.url(), /q=worker-00/);
  await context.close();
});

test("nothing moves when it changes", async () => {
  const { context, page, wrong } = await open();
  await page.getByText("live", { exact: true }).waitFor();
  await page.evaluate(() => {
    globalThis.settled = performance.now(); // what is told later of the first paint does not count
    shifts.length = 0;
  });
  await page.evaluate(() => (globalThis.rowsBefore = [...document.querySelectorAll("tbody tr")]));
  const asked = daemon.send("asking", '[[ask:Bash {"command":"echo once more"}]]').catch(() => {});
  await page.locator("#needs li").waitFor();
  await daemon.command("restart", "worker-003");
  await page.locator("tr", { hasText: "worker-003" }).locator("td:nth-child(9)", { hasText: "2" }).waitFor();
  for (const { id } of JSON.parse(await daemon.command("approvals", "--json"))) await daemon.command("deny", id);
  await page.locator("#needs").getByText("Nothing waits for you.").waitFor();
  await asked;
  // A row that goes leaves its place free, and the next one takes it: the others stay where they are.
  const places = () => page.evaluate(() => Object.fromEntries([...document.querySelectorAll("#needs li:not(.over)")].map((li) => [li.textContent.trim().split(" ")[0], li.getBoundingClientRect().y])));
  const three = ["worker-011", "worker-012", "worker-013"].map((name) => daemon.send(name, '[[ask:Bash {"command":"echo row"}]]').catch(() => {}));
  await page.locator("#needs li").nth(2).waitFor();
  const [first] = JSON.parse(await daemon.command("approvals", "--json"));
  const before = await places();
  await daemon.command("deny", first.id);
  await page.locator("#needs li.over").waitFor();
  delete before[first.session];
  assert.deepEqual(await places(), before, "the others stay where they are");
  const fourth = daemon.send("worker-014", '[[ask:Bash {"command":"echo row"}]]').catch(() => {});
  await page.locator("#needs li", { hasText: "worker-014" }).waitFor();
  assert.equal(await page.locator("#needs li").count(), 3, "it has taken the free place");
  for (const { id } of JSON.parse(await daemon.command("approvals", "--json"))) await daemon.command("deny", id);
  await page.locator("#needs").getByText("Nothing waits for you.").waitFor();
  await Promise.all([...three, fourth]);
  assert.deepEqual(await page.evaluate(() => shifts), []);
  assert.ok(await page.evaluate(() => rowsBefore.every((row) => row.isConnected)), "rows are worked on and not replaced");
  assert.deepEqual(wrong, []);
  await context.close();
});

test("the keyboard is enough", async () => {
  const { context, page, wrong } = await open();
  const key = (k) => page.keyboard.press(k);
  await page.getByText("live", { exact: true }).waitFor();
  // What is written before the first fresh page comes is not taken away by it.
  await key("/");
  await page.keyboard.type("worker-0");
  await page.evaluate(() => fetch("?part=main").then((response) => response.text()));
  await page.keyboard.type("04");
  await page.locator(".found", { hasText: /^1 session/ }).waitFor();
  await page.locator("tbody tr", { hasText: "worker-003" }).waitFor({ state: "detached" });
  assert.equal(await page.evaluate(() => document.activeElement.id), "q", "typing goes on while the list changes");
  await key("Escape");
  await key("j");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "worker-004");
  await key("Enter");
  await page.getByRole("heading", { name: "worker-004" }).waitFor();
  await page.getByText("live", { exact: true }).waitFor(); // before that nobody listens to keys
  await key("t");
  await page.getByRole("heading", { name: "Tree", exact: true }).waitFor();
  await page.getByText("live", { exact: true }).waitFor();
  await key("z");
  await page.locator("#faults[aria-current]").waitFor();
  await key("z");
  await key("p");
  await page.getByText("paused", { exact: true }).waitFor();
  await key("p");
  await page.getByText("live", { exact: true }).waitFor();
  await key("?");
  await page.getByRole("heading", { name: "Keys" }).waitFor();
  await key("Escape");
  await page.getByRole("heading", { name: "Keys" }).waitFor({ state: "hidden" });
  // Tab alone leads to the button of what is in trouble.
  await page.locator("#trouble").focus();
  for (let i = 0; i < 6; i++) {
    await key("Tab");
    if ((await page.evaluate(() => document.activeElement.textContent)).startsWith("Restart")) break;
  }
  assert.match(await page.evaluate(() => document.activeElement.textContent), /^Restart/);
  await key("u");
  await page.getByRole("heading", { name: "Audit" }).waitFor();
  // The log is gone through with its form and its addresses.
  await page.getByLabel("Kind").fill("session.started");
  await key("Enter");
  await page.locator("table.records tbody tr", { hasText: "session.started" }).first().waitFor();
  await page.locator("table.records tbody tr", { hasText: "supervisor.event" }).first().waitFor({ state: "detached" });
  const newest = await page.locator("table.records tbody th a").first().textContent();
  await page.getByRole("link", { name: "older" }).click();
  await page.locator("table.records tbody tr").first().locator("th a", { hasNotText: new RegExp(`^${newest}$`) }).waitFor();
  await page.locator("table.records tbody th a").first().click();
  await page.getByRole("heading", { name: /^Record \d+$/ }).waitFor();
  assert.deepEqual(wrong, []);
  await context.close();
});

test("on paper it is what there is to read, without what there is to press", async () => {
  const { context, page, wrong } = await open({}, "?q=ing");
  await page.locator("#trouble li").first().waitFor();
  await page.emulateMedia({ media: "print", colorScheme: "dark" });
  assert.equal(await page.getByRole("button").count(), 0, "nothing to press");
  assert.equal(await page.locator("#q").isVisible(), false);
  await page.locator("table.tree tr", { hasText: "crashing" }).waitFor();
  const [ink, paper] = await page.evaluate(() => {
    const style = getComputedStyle(document.body);
    return [style.color, style.backgroundColor];
  });
  const brightness = (color) => color.match(/[\d.]+/g).slice(0, 3).reduce((sum, n) => sum + Number(n), 0);
  assert.ok(brightness(ink) < 200 && (brightness(paper) > 700 || paper.endsWith(", 0)")), `dark on white, and not ${ink} on ${paper}`);
  const wide = await page.evaluate(() => [...document.querySelectorAll(".scroll")].filter((e) => getComputedStyle(e).overflowY === "auto" || getComputedStyle(e).overflowY === "scroll").length);
  assert.equal(wide, 0, "nothing is cut off by a scroll bar");
  await page.pdf({ path: join(pictures, "paper.pdf"), format: "A4", landscape: true });
  assert.deepEqual(wrong, []);
  await context.close();
});

// In the dark only colours are others than in the light.
for (const [name, options, addresses, rules] of [
  ["light", { colorScheme: "light" }, ["", "sessions/crashing", "sessions/asking", "audit", "budgets"], {}],
  ["dark", { colorScheme: "dark" }, ["", "sessions/asking", "audit"], { runOnly: ["color-contrast"] }],
  ["narrow", { colorScheme: "light", viewport: { width: 390, height: 844 } }, ["", "sessions/asking", "audit"], {}],
]) {
  test(`${name}: axe has no serious finding, and a picture is kept`, async () => {
    const { context, page, wrong } = await open(options);
    // Of rows that are all alike axe needs to see a few only.
    for (const address of addresses) {
      await page.goto(daemon.page + address + ({ "": "?q=ing", audit: "?limit=20" }[address] ?? ""));
      await page.locator("h1").first().waitFor({ state: "attached" });
      await page.keyboard.press("p"); // what changes meanwhile is no matter of this
      await page.evaluate(readFileSync(axe, "utf8")); // not as a script of the page: its policy would forbid that
      const found = await page.evaluate((rules) => axe.run(document, { resultTypes: ["violations"], ...rules }), rules);
      const serious = found.violations.filter((v) => ["serious", "critical"].includes(v.impact));
      assert.deepEqual(serious.map((v) => `${v.id}: ${v.nodes.slice(0, 3).map((n) => n.html)}`), [], address);
      if (address === "") await page.goto(daemon.page);
      await page.screenshot({ path: join(pictures, `${name}-${address.replaceAll("/", "-") || "tree"}.png`) });
    }
    assert.deepEqual(wrong, []);
    await context.close();
  });
}
