// The page in a real browser. Prints a line per check; exits 1 unless all passed. See run.sh.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const { DEMO_URL, RICH_URL, KEYED_URL, CHROMIUM, CHORUS_ONLY = "", SHOTS } = process.env;
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
let failed = 0;
let ran = 0;

function must(condition, what) {
  if (!condition) throw new Error(what);
}

function same(found, want, what) {
  must(JSON.stringify(found) === JSON.stringify(want), `${what}: ${JSON.stringify(found)}, not ${JSON.stringify(want)}`);
}

/** A page of its own, which may ask its server only, and must have nothing to complain of. */
async function check(name, options, act) {
  if (!name.includes(CHORUS_ONLY)) return;
  ran++;
  const { url = DEMO_URL, allow = [], ...more } = options;
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, locale: "en-US", ...more });
  const page = await context.newPage();
  const trouble = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type()) && !allow.some((words) => message.text().includes(words))) trouble.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => trouble.push(`error: ${error.stack}`));
  page.on("dialog", (dialog) => trouble.push(`dialog: ${dialog.message()}`) && dialog.dismiss());
  page.on("request", (request) => {
    if (!request.url().startsWith(`${url}/`)) trouble.push(`request elsewhere: ${request.url().slice(0, 200)}`);
  });
  page.setDefaultTimeout(30_000);
  try {
    await page.goto(`${url}/ui`);
    await act(page, url);
    await page.waitForTimeout(50);
    same(trouble, [], "trouble");
    console.log(`ok    ${name}`);
  } catch (error) {
    failed++;
    console.log(`FAIL  ${name}: ${error.message}`);
    for (const one of trouble) console.log(`      ${one}`);
    if (SHOTS) await page.screenshot({ path: `${SHOTS}/failed.png`, fullPage: true });
  }
  await context.close();
}

async function ask(page, question, model) {
  if (model) {
    await page.waitForSelector(`#model option[value="${model}"]`, { state: "attached" });
    await page.selectOption("#model", model);
  }
  await page.fill("#question", question);
  await page.press("#question", "Enter");
}

const answered = (page) => page.waitForSelector(".turn:last-of-type .turn-end .facts");

async function violations(page, where) {
  await page.evaluate(axe);
  const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  must(found.passes.length > 10, `${where}: axe looked at nothing`);
  same(found.violations.flatMap((one) => one.nodes.map((node) => `${one.id}: ${node.target} ${node.failureSummary}`)), [], `${where}: axe`);
}

// -- what a newcomer does

await check("a question to the demo: stages light up, text grows, and the facts are told", {}, async (page) => {
  must((await page.title()).includes("Chorus"), "the title");
  await ask(page, "Why is the sky blue?");
  const states = new Set(), lengths = new Set();
  for (;;) {
    const now = await page.evaluate(() => ({
      running: document.querySelectorAll(".turn .wf-row.st-running").length,
      done: document.querySelectorAll(".turn .wf-row.st-ok").length,
      text: document.querySelector(".turn .prose").textContent.length,
      over: Boolean(document.querySelector(".turn-end .facts")),
    }));
    if (now.over) break;
    states.add(`${now.running} running, ${now.done} done`);
    lengths.add(now.text);
    await page.waitForTimeout(60);
  }
  must([...states].some((state) => /^[1-9]/.test(state)), `a stage ran: ${[...states]}`);
  must(states.size >= 4, `stages came one after the other: ${[...states]}`);
  must(lengths.size >= 8, `the text grew: ${[...lengths]}`);
  const facts = await page.textContent(".turn-end .facts");
  for (const word of ["First token", "Slowest", "demo-", "Calls", "Tokens", "$0.00"]) must(facts.includes(word), `${word} in ${facts}`);
  const verdict = await page.textContent(".verdict");
  must(/demo-\w+ is the best draft, says demo-judge/.test(verdict), verdict);
  same(await page.locator(".drafts [role=tab]").count(), 3, "drafts");
  must(await page.locator("mark.only-draft, mark.only-answer").count() > 0, "differences are marked");
  await page.click(".differ input");
  same(await page.locator(".prose mark").count(), 0, "marks after they were switched off");
  await page.focus(".drafts [role=tab][aria-selected=true]");
  await page.keyboard.press("ArrowRight");
  same(await page.evaluate(() => [...document.querySelectorAll("[role=tab]")].findIndex((tab) => tab.ariaSelected === "true")), 1, "the arrow key chose");
  await page.click("text=Open the run");
  await page.waitForSelector(".inspector h2");
  must(await page.locator(".view-run .wf-row").count() >= 6, "the waterfall");
  must(await page.locator(".wf-path line").count() >= 3, "the critical path");
});

await check("a second question goes on with the first", { url: RICH_URL }, async (page) => {
  await ask(page, "one", "quick");
  await answered(page);
  await ask(page, "two");
  await page.waitForFunction(() => document.querySelectorAll(".turn-end .facts").length === 2);
  same(await page.inputValue("#model"), "quick", "the model stays");
});

await check("language and theme are switched, and stay", {}, async (page) => {
  await page.selectOption(".tools select >> nth=0", "zh");
  same(await page.getAttribute("html", "lang"), "zh", "the language");
  same(await page.textContent("nav a[data-view=runs]"), "运行", "a word");
  await page.selectOption(".tools select >> nth=1", "dark");
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const dark = await background();
  await page.reload();
  same([await page.getAttribute("html", "lang"), await background()], ["zh", dark], "after a reload");
  await page.selectOption(".tools select >> nth=1", "light");
  must((await background()) !== dark, "light is not dark");
  const missing = await page.evaluate(async () => {
    const { keys, setLanguage, t } = await import("./ui/strings.js");
    return ["en", "zh"].flatMap((name) => {
      setLanguage(name);
      return keys().filter((key) => !t(key) || t(key) === key).map((key) => `${name} ${key}`);
    });
  });
  same(missing, [], "strings without words");
});

// -- runs

await check("stop ends the run", { url: RICH_URL }, async (page) => {
  await ask(page, "take your time", "patient");
  await page.waitForSelector(".wf-row.st-running");
  await page.click("[aria-label=Stop]");
  await page.waitForSelector(".turn .badge.st-cancelled");
  await page.goto(`${RICH_URL}/ui#/runs`);
  await page.waitForSelector("tr .badge.st-cancelled");
});

await check("a run of somebody else is seen in flight and cancelled", { url: RICH_URL }, async (page, url) => {
  await page.goto(`${url}/ui#/runs`);
  await page.waitForSelector(".live.on");
  const body = JSON.stringify({ model: "patient", stream: true, messages: [{ role: "user", content: "hello" }] });
  const other = fetch(`${url}/v1/chat/completions`, { method: "POST", body }).then((response) => response.text(), (error) => String(error));
  await page.waitForSelector(".flying .dots .st-running");
  await page.click(".flying a");
  await page.waitForSelector(".view-run .wf-row.st-running");
  await page.goBack();
  await page.click(".flying button");
  const said = await other;
  must(said.includes("cancelled"), `its client is told: ${said.slice(-300)}`);
  await page.waitForSelector(".air", { state: "hidden" });
  await page.waitForSelector("table.runs .badge.st-cancelled");
});

await check("a run with a failed, a cut and a nested worker explains itself", { url: RICH_URL }, async (page, url) => {
  await ask(page, "Why is the sky blue?", "chorus");
  await answered(page);
  same(await page.locator(".turn-meta .badge.st-degraded").count(), 1, "degraded");
  await page.click("text=Open the run");
  await page.waitForSelector(".inspector h2");
  for (const kind of ["failed", "cut", "folds"]) same(await page.locator(`.view-run .wf-row.st-${kind}, .view-run .wf-row.${kind}`).count(), 1, kind);
  // The forms differ, not the colour alone.
  must(await page.locator(".wf-row.st-failed .wf-end svg").count() === 1 && await page.locator(".wf-row.st-cut .wf-end svg").count() === 1, "signs");
  must(await page.evaluate(() => document.querySelector(".wf-row:not(.st-ok) .retried").getBoundingClientRect().width > 3), "the retried part is hatched");
  same(await page.locator(".wf-gap").count(), 1, "time that nobody accounts for");
  await page.click("#next-failure");
  same(await page.textContent(".inspector h2"), "fails", "the next failure");
  must((await page.textContent(".inspector")).includes("upstream_error"), "why");
  const rows = () => page.locator(".view-run .wf-row:not([hidden])").count();
  const before = await rows();
  await page.click(".view-run .wf-fold[aria-expanded=true]");
  must((await rows()) === before - 4, "folded");
  await page.focus(".view-run .wf-row.folds .wf-label");
  await page.keyboard.press("ArrowRight");
  must((await rows()) === before, "unfolded by a key");
  await page.click(".view-run .wf-label:has-text('steady')");
  must(/Temperature0.4 from the analyzer/.test(await page.textContent(".inspector")), await page.textContent(".inspector"));
  await page.goto(`${url}/ui#/runs?status=degraded`);
  await page.waitForSelector("table.runs tbody tr");
  same(await page.locator("table.runs .badge:not(.st-degraded)").count(), 0, "only degraded ones");
});

await check("hundreds of bars take their share of time, no more", { url: RICH_URL }, async (page) => {
  const took = await page.evaluate(async () => {
    const { ofTrace } = await import("./ui/trace.js");
    const { Waterfall } = await import("./ui/waterfall.js");
    const trace = (many) => ({
      total_ms: 10_000, workers: Array.from({ length: many }, (_, place) => ({ name: `w${place}`, model: "m", status: ["ok", "failed", "cut"][place % 3], started_ms: place, duration_ms: 5000, first_token_ms: 100, attempts: 1 })),
      critical_path: [{ stage: "worker", name: "w0", duration_ms: 5000 }],
    });
    return [50, 500].map((many) => {
      const waterfall = new Waterfall({ onselect() {} });
      document.getElementById("main").append(waterfall.element);
      const begun = performance.now();
      waterfall.update(ofTrace(trace(many)));
      document.body.getBoundingClientRect();
      const first = performance.now() - begun;
      if (waterfall.element.querySelectorAll(".wf-row").length !== many + 1) throw new Error("rows are missing");
      waterfall.element.remove();
      return first;
    });
  });
  console.log(`      50 bars ${took[0].toFixed(1)} ms, 500 bars ${took[1].toFixed(1)} ms`);
  must(took[1] < 60 * Math.max(took[0], 1), `ten times as many bars: ${took}`);
});

// -- what hostile output does

await check("hostile text of models does nothing", { url: RICH_URL }, async (page) => {
  await ask(page, "<img src=x onerror=\"window.harmed='question'\"><script>window.harmed='own'</script>", "hostile-panel");
  await answered(page);
  const found = await page.evaluate(() => ({
    harmed: window.harmed ?? null,
    elements: [...document.querySelectorAll("main :is(script, img, iframe, object, embed, base, link, style, animate, video, audio, meta), .prose :is(form, input), [onerror], [onload]")].map((one) => one.outerHTML),
    links: [...document.querySelectorAll(".prose a")].map((link) => [new URL(link.href).protocol, link.rel.includes("noopener")]),
    text: document.querySelector(".turn .prose").textContent,
  }));
  same([found.harmed, found.elements], [null, []], "harm");
  must(found.text.includes("<script>") && found.text.includes("onerror"), "it is shown as text");
  must(found.links.length >= 2, "good links are links");
  for (const [protocol, noopener] of found.links) must(["http:", "https:", "mailto:"].includes(protocol) && noopener, `a link: ${protocol}`);
  await page.click("text=Open the run");
  await page.waitForSelector(".inspector h2");
  same(await page.evaluate(() => window.harmed ?? null), null, "harm in the run");
  const hidden = await page.evaluate(async () => {
    const { safeLink } = await import("./ui/markdown.js");
    return ["javascript:alert(1)", "JAVASCRIPT:x", "java\nscript:x", "\u0001javascript:x", "data:text/html,x", "vbscript:x", "//elsewhere.invalid", "blob:x", "file:///etc/passwd", "/ui", " https://a.example"].filter((one) => safeLink(one) !== null);
  });
  same(hidden, [], "addresses that are none");
});

await check("a line of a million characters leaves the page alive", { url: RICH_URL }, async (page) => {
  await ask(page, "long", "long-line");
  await answered(page);
  must((await page.evaluate(() => document.querySelector(".turn .prose").textContent.length)) > 999_000, "all of it is there");
  await page.click("nav a[data-view=models]");
  await page.waitForSelector(".cards .model");
});

await check("Markdown becomes elements, and whatever was cut is still text", {}, async (page) => {
  const shown = await page.evaluate(async () => {
    const { render } = await import("./ui/markdown.js");
    const text = (source) => render(source).innerHTML_ ?? new XMLSerializer().serializeToString(render(source)).replace(/ xmlns="[^"]+"/g, "");
    return {
      emphasis: text("a **b** *c* `d*e` ~~f~~ snake_case_name 2*3*4"),
      unclosed: text("**bold and [link](http"),
      list: text("1. one\n2. two\n   - inner\n\nafter"),
      loose: text("Intro:\n- a\n- b"),
      quote: text("> said\n> so"),
      deep: render(`${">".repeat(500)} x\n`).textContent.length > 0 && render(`${"- ".repeat(3000)}x`).textContent.length > 0 && render("*a ".repeat(6000)).textContent.length > 17_000,
      nested: render("[a [b](https://x.example) c](https://y.example)").querySelectorAll("a a").length,
    };
  });
  must(shown.emphasis.includes("<strong>b</strong> <em>c</em> <code>d*e</code> <del>f</del> snake_case_name"), shown.emphasis);
  must(shown.unclosed.includes("**bold and [link](http"), shown.unclosed);
  must(/<ol start="1"><li>one<\/li><li>two.*<ul><li>inner<\/li><\/ul><\/li><\/ol><p>after<\/p>/.test(shown.list), shown.list);
  must(/<p>Intro:<\/p><ul><li>a<\/li><li>b<\/li><\/ul>/.test(shown.loose), shown.loose);
  must(/<blockquote><p>said\s+so<\/p><\/blockquote>/.test(shown.quote), shown.quote);
  same([shown.deep, shown.nested], [true, 0], "deep and nested");
});

// -- keys, failures

await check("a server with clients asks for the key", { url: KEYED_URL, allow: ["401"] }, async (page, url) => {
  await page.waitForSelector("#key-dialog[open]");
  await page.fill("#key", "a wrong key that nobody has");
  await page.press("#key", "Enter");
  await page.waitForSelector("#key-dialog[open]");
  await page.fill("#key", "the key of the page's tests");
  await page.press("#key", "Enter");
  await page.waitForSelector("#model option[value=quick]", { state: "attached" });
  await ask(page, "hello", "quick");
  await answered(page);
  same(await page.evaluate(() => [JSON.stringify(localStorage).includes("page's"), sessionStorage.length]), [false, 1], "where the key is");
  await page.goto(`${url}/ui#/connect`);
  await page.waitForSelector(".snippets pre");
  must(!(await page.textContent("body")).includes("the key of the page's tests"), "no snippet shows the key by itself");
});

await check("a model that fails says so", { url: RICH_URL, allow: ["502", "500", "503"] }, async (page) => {
  await ask(page, "hello", "fails");
  await page.waitForSelector(".turn .box-error");
  must((await page.textContent(".turn .box-error")).includes("upstream_error"), "the code");
});

await check("a browser at / gets the page", { url: DEMO_URL }, async (page, url) => {
  await page.goto(`${url}/`);
  await page.waitForSelector("#model option[value=demo-warm]", { state: "attached" });
  await page.goto(`${url}/ui/`);
  await page.waitForSelector("#model option[value=demo-warm]", { state: "attached" });
});

// -- everybody

for (const [name, options] of [
  ["light", { colorScheme: "light" }],
  ["dark", { colorScheme: "dark", locale: "zh-CN" }],
  ["phone", { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true }],
]) {
  await check(`every view is accessible: ${name}`, { url: RICH_URL, ...options }, async (page, url) => {
    const fits = async (where) => {
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      must(wide <= 0, `${where} is ${wide} px too wide`);
    };
    await page.waitForSelector("#model option[value=quick]", { state: "attached" });
    await violations(page, "ask, empty");
    await fits("ask, empty");
    await ask(page, "Why is the sky blue?", "chorus");
    await page.waitForSelector(".wf-row.st-running");
    await answered(page);
    if (SHOTS) await page.screenshot({ path: `${SHOTS}/ask-${name}.png` });
    await violations(page, "ask");
    await fits("ask");
    const id = (await page.getAttribute(".turn-end a.button", "href")).split("/").at(-1);
    for (const [view, ready] of [["runs", "table.runs tbody tr"], [`runs/${id}`, ".inspector h2"], ["models", ".cards .model"], ["connect", ".snippets pre"]]) {
      await page.goto(`${url}/ui#/${view}`);
      await page.waitForSelector(ready);
      if (SHOTS) await page.screenshot({ path: `${SHOTS}/${view.split("/").length > 1 ? "run" : view}-${name}.png` });
      await violations(page, view);
      await fits(view);
      same(await page.evaluate(() => document.activeElement?.tagName), "H1", `${view}: the focus`);
    }
  });
}

await browser.close();
if (!ran) console.log("no check has that in its name");
console.log(failed ? `\n${failed} failed` : `\n${ran} passed`);
process.exit(failed || !ran ? 1 : 0);
