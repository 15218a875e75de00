// Measures how long the first pages take until they can be worked with: from the navigation until the main content is there and the main thread has
// been without a long task for half a second (the end of the last long task counts). Each page is visited with an empty cache, and again
// with what is kept. HAWSER_PAGES names some of the pages. A line of JSON for each page and cache: {"page","cache","interactive":[ms],"content":[ms],"requests","transferred"}.
import { chromium } from 'playwright-core';

const hub = process.env.HAWSER_HUB;
const runs = Number(process.env.HAWSER_RUNS ?? 5);
const pages = [
  { page: 'login', path: '/console/', content: 'form input[name="password"]', out: true },
  { page: 'overview', path: '/console/default/overview', content: 'main h1, main canvas' },
  { page: 'devices', path: '/console/default/devices', content: 'main tbody tr' },
  { page: 'device', path: `/console/default/devices/${process.env.HAWSER_DEVICE}`, content: 'main h1' },
].filter((one) => (process.env.HAWSER_PAGES ?? one.page).split(' ').includes(one.page));

const browser = await chromium.launch({
  executablePath: process.env.HAWSER_CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage'],
});

/** look is run in the page before anything else: it notes when the content is there, and long tasks. */
function look(content) {
  const seen = (globalThis.seen = { content: 0, busy: 0 });
  new PerformanceObserver((list) => list.getEntries().forEach((e) => (seen.busy = Math.max(seen.busy, e.startTime + e.duration)))).observe({ type: 'longtask', buffered: true });
  const find = () => {
    const all = content.split(', ').map((c) => document.querySelector(c));
    if (all.every((el) => el && el.getClientRects().length > 0)) seen.content = performance.now();
    else requestAnimationFrame(find);
  };
  requestAnimationFrame(find);
}

async function visit(context, one) {
  const page = await context.newPage();
  await page.addInitScript(look, one.content);
  let requests = 0;
  let transferred = 0;
  const cdp = await context.newCDPSession(page);
  await cdp.send('Network.enable');
  cdp.on('Network.loadingFinished', (e) => {
    requests++;
    transferred += e.encodedDataLength;
  });
  await page.goto(hub + one.path, { waitUntil: 'commit' });
  await page.waitForFunction(() => globalThis.seen.content > 0 && performance.now() - Math.max(globalThis.seen.content, globalThis.seen.busy) > 500, undefined, { timeout: 60_000, polling: 50 });
  const { content, busy } = await page.evaluate(() => globalThis.seen);
  await page.close();
  return { content, interactive: Math.max(content, busy), requests, transferred };
}

const login = await browser.newContext({ locale: 'en-GB' });
const door = await login.newPage();
await door.goto(`${hub}/console/`);
const status = await door.evaluate(async (body) => (await fetch('/v1/login', { method: 'POST', headers: { 'Content-Type': 'application/json', 'X-Hawser-Request': 'console' }, body })).status, JSON.stringify({ login: 'ann', password: 'correct horse battery', cookie: true }));
if (status !== 200) throw new Error(`login: ${status}`);
const storageState = await login.storageState();
for (const one of pages) {
  const found = { empty: [], kept: [] };
  for (let i = 0; i < runs; i++) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: 'en-GB', storageState: one.out ? undefined : storageState });
    found.empty.push(await visit(context, one));
    found.kept.push(await visit(context, one));
    await context.close();
  }
  for (const [cache, list] of Object.entries(found)) {
    const last = list.at(-1);
    console.log(JSON.stringify({ page: one.page, cache, interactive: list.map((v) => v.interactive), content: list.map((v) => v.content), requests: last.requests, transferred: last.transferred }));
  }
}
await browser.close();
