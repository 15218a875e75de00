// What the scripts in pages/ share: a browser page that is logged in, the hub's API, screenshots, and what must hold on every page.
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

export class Tester {
  constructor(browser, env) {
    this.browser = browser;
    this.hub = env.HAWSER_HUB;
    this.key = env.HAWSER_KEY;
    this.control = env.HAWSER_CONTROL;
    this.world = JSON.parse(env.HAWSER_WORLD ?? '{}');
    this.artifacts = env.HAWSER_ARTIFACTS ?? '.';
    this.user = { login: 'ann', name: 'Ann Owner', password: 'correct horse battery' };
    this.trouble = [];
    this.strangers = [];
    mkdirSync(this.artifacts, { recursive: true });
  }

  /** begin makes sure that there is a page. Scripts after the first one are logged in. */
  async begin(name) {
    this.name = name;
    this.trouble = [];
    if (!this.page) {
      this.context = await this.browser.newContext({ viewport: { width: 1280, height: 800 }, locale: 'en-GB' });
      this.page = await this.watch(await this.context.newPage());
    } else {
      // One script that failed must not make the next ones fail.
      await this.page.setViewportSize({ width: 1280, height: 800 });
      await this.page.evaluate(() => ['language', 'colours'].forEach((k) => localStorage.removeItem(`hawser.${k}`)));
    }
  }

  /** watch has what goes wrong in a page told: errors of its scripts, and what its policy keeps out. */
  async watch(page) {
    page.setDefaultTimeout(60_000);
    page.on('pageerror', (err) => this.trouble.push(`error in the page: ${err.message}`));
    page.on('console', (m) => {
      const text = m.text();
      if (m.type() !== 'error') return;
      if (/Failed to load resource|net::ERR_/.test(text)) return; // answers that the pages deal with
      // What the policy keeps out is told below; but the browser itself styles what is typed over a selection in an editor, for a moment.
      if (/violates the following Content Security Policy/.test(text)) return;
      this.trouble.push(`console: ${text}`);
    });
    await page.addInitScript(() =>
      document.addEventListener('securitypolicyviolation', (e) => e.target?.closest?.('.cm-content') || console.error(`policy: ${e.effectiveDirective} ${e.blockedURI} ${e.sample} at ${e.sourceFile}:${e.lineNumber}:${e.columnNumber} ${e.target?.outerHTML?.slice(0, 300)}`)),
    );
    page.on('dialog', (d) => {
      this.trouble.push(`a dialog was opened: ${d.message()}`);
      void d.dismiss();
    });
    return page;
  }

  /** stranger is a page in a browser of its own, in which nobody is logged in. It is closed when the script has ended. */
  async stranger() {
    const context = await this.browser.newContext({ viewport: { width: 1280, height: 800 }, locale: 'en-GB' });
    this.strangers.push(context);
    return this.watch(await context.newPage());
  }

  /** member makes a user who is a member of a project. */
  async member(login, password, role, project = 'default') {
    const user = await this.api('POST', '/v1/users', { login, name: `${login} of ${project}`, password });
    await this.api('POST', `/v1/projects/${project}/members`, { user: user.id, role });
    return user;
  }

  /** enter logs somebody in on a page that asks for it. */
  async enter(page, login, password) {
    await page.getByLabel('Login name').fill(login);
    await page.locator('input[name="password"]').fill(password);
    await page.getByRole('button', { name: 'Log in', exact: true }).click();
  }

  async end() {
    for (const context of this.strangers.splice(0)) await context.close();
    if (this.trouble.length > 0) throw new Error(this.trouble.join('\n'));
  }

  /** open goes to a path below the project. */
  async open(path, project = 'default') {
    await this.page.goto(`${this.hub}/console/${project}${path}`);
  }

  heading(name) {
    return this.page.getByRole('heading', { level: 1, name, exact: true });
  }

  async shot(what) {
    if (this.page) await this.page.screenshot({ path: join(this.artifacts, `${this.name}-${what}.png`) });
  }

  /** inBoth runs fn in English and Chinese; afterwards the page is English again. */
  async inBoth(fn) {
    for (const language of ['zh', 'en']) {
      await this.language(language);
      await fn(language);
    }
  }

  async language(language) {
    await this.prefer('hawser.language', language);
    await this.page.waitForFunction((l) => document.documentElement.lang.startsWith(l), language);
  }

  async colours(scheme) {
    await this.prefer('hawser.colours', scheme);
    await this.page.waitForFunction((s) => document.documentElement.dataset.mantineColorScheme === s, scheme);
  }

  /** prefer sets what a reader chose, as another tab would. */
  prefer(key, newValue) {
    return this.page.evaluate(
      (e) => {
        localStorage.setItem(e.key, e.newValue);
        window.dispatchEvent(new StorageEvent('storage', { ...e, storageArea: localStorage }));
      },
      { key, newValue },
    );
  }

  /** accessible fails on what axe calls serious or critical. */
  async accessible(where = '') {
    await this.page.waitForFunction(() => !document.querySelector('[role=menu]')); // one that was chosen from is just going
    await this.page.evaluate(() => Promise.all(document.getAnimations().map((a) => a.finished.catch(() => {}))));
    await this.page.evaluate(axe);
    const look = async () => {
      const { violations } = await this.page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
      return violations.filter((v) => v.impact === 'serious' || v.impact === 'critical');
    };
    let bad = await look();
    for (let tries = 0; tries < 30 && bad.some((v) => v.nodes.some((n) => n.html.includes('Notification'))); tries++) {
      await this.page.waitForTimeout(1_000); // a toast that is just going is pale
      bad = await look();
    }
    if (bad.length > 0) {
      throw new Error(`axe${where && ` (${where})`}: ` + bad.map((v) => `${v.id}: ${v.help}\n` + v.nodes.slice(0, 4).map((n) => `    ${n.html}\n      ${n.failureSummary?.split('\n').slice(1, 3).join(' ')}`).join('\n')).join('\n'));
    }
  }

  /** api calls the hub's API with the owner's key. */
  async api(method, path, body) {
    const answer = await fetch(this.hub + path, { method, headers: { Authorization: `Bearer ${this.key}`, 'Content-Type': 'application/json' }, body: body === undefined ? undefined : JSON.stringify(body) });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text === '' ? undefined : JSON.parse(text);
  }

  /** tell has the test's side do something: restart, or what a device is to do. */
  async tell(what, body) {
    const answer = await fetch(`${this.control}/${what}`, { method: 'POST', body: body === undefined || typeof body === 'string' ? body : JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${what}: ${await answer.text()}`);
  }

  /** until asks again until done, which asks the hub, is true; a minute is enough for a busy machine. */
  async until(what, done) {
    for (const end = Date.now() + 60_000; !(await done()); await this.page.waitForTimeout(100)) {
      if (Date.now() > end) throw new Error(`not in time: ${what}`);
    }
  }

  async sees(locator, why = '') {
    await locator.first().waitFor({ state: 'visible' }).catch((err) => {
      throw new Error(`${why || 'not to be seen'}: ${err.message}`);
    });
  }

  same(got, want, what) {
    if (JSON.stringify(got) !== JSON.stringify(want)) throw new Error(`${what}: got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
  }
}
