// Runs the scripts in pages/ in one browser and prints a line of JSON for each: {"name":…,"ms":…,"error":…}. Arguments are scripts to run instead
// of all. The hub, its key and the folder for screenshots come in the environment.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { Tester } from './tester.mjs';

const dir = join(fileURLToPath(new URL('.', import.meta.url)), 'pages');
const wanted = process.argv.slice(2);
const names = readdirSync(dir)
  .filter((f) => f.endsWith('.mjs'))
  .map((f) => f.slice(0, -4))
  .sort()
  .filter((n) => wanted.length === 0 || wanted.includes(n) || n.startsWith('00'));

const browser = await chromium.launch({
  executablePath: process.env.HAWSER_CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage'],
});
let failed = 0;
const t = new Tester(browser, process.env);
try {
  for (const name of names) {
    const began = Date.now();
    let error;
    try {
      await t.begin(name);
      const script = await import(join(dir, `${name}.mjs`));
      await script.default(t);
      await t.end();
    } catch (err) {
      failed++;
      error = String(err?.stack ?? err);
      await t.shot('failed').catch(() => {});
    }
    console.log(JSON.stringify({ name, ms: Date.now() - began, error }));
    if (error && name.startsWith('00')) break; // nobody is logged in
  }
} finally {
  await browser.close();
}
process.exit(failed > 0 ? 1 : 0);
