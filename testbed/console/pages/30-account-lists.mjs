// Products, groups, members, keys, sessions and CAs are filtered and sorted by the hub; the audit log is found by who did what to which object, and when.
export default async function (t) {
  const { page } = t;
  const tag = Date.now().toString(36);
  const names = ['b', 'a', 'c'].map((n) => `${n}-${tag}`);
  const made = { product: [], key: [] };
  for (const name of names) {
    made.product.push((await t.api('POST', '/v1/products', { name: `list ${name}`, kind: name.startsWith('a') ? 'gateway' : 'device' })).productSN);
    made.key.push((await t.api('POST', '/v1/api-keys', { name: `list ${name}`, role: name.startsWith('a') ? 'admin' : 'viewer', project: 'default' })).id);
    await t.api('POST', '/v1/groups', { name: `list-${name}`, filter: name.startsWith('a') ? 'state:online' : '' });
    await t.member(`list-${name}`, 'ten or more bytes', name.startsWith('a') ? 'operator' : 'viewer');
  }
  const cells = async (list) => (await page.locator(`[data-list="${list}"] tbody tr td:first-child`).allTextContents()).map((s) => s.trim());
  const first = (list, want) => page.waitForFunction(([l, w]) => document.querySelector(`[data-list="${l}"] tbody td`)?.textContent.trim() === w, [list, want]);
  const type = async (filter) => {
    await page.getByRole('textbox', { name: 'Filter' }).fill(filter);
    await page.keyboard.press('Enter');
  };

  // Each by its filter, and by a heading of its table, up and down, with the keyboard.
  for (const [path, list, narrow, heading, prefix] of [
    ['/products', 'products', 'kind:device', 'Name', 'list '],
    ['/groups', 'groups', 'kind:members', 'Name', 'list-'],
    ['/access/members', 'members', 'role:viewer', 'Login name', 'list-'],
    ['/access/keys', 'keys', 'role:viewer', 'What it is for', 'list '],
  ]) {
    const all = prefix.trim() === 'list' ? '"list "' : 'list-';
    await t.open(`${path}?q=${encodeURIComponent(all)}`);
    await t.sees(page.getByText('/ 3'), `${path} does not count`);
    const button = page.locator(`[data-list="${list}"]`).getByRole('button', { name: heading, exact: true });
    await button.focus();
    await page.keyboard.press('Enter');
    await first(list, `${prefix}a-${tag}`);
    t.same(await cells(list), names.toSorted().map((n) => prefix + n), `${path}, up`);
    await page.keyboard.press('Enter');
    await first(list, `${prefix}c-${tag}`);
    t.same(await page.getByRole('columnheader', { name: heading }).getAttribute('aria-sort'), 'descending', `${path}: what a screen reader is told`);
    await t.accessible(path);
    await type(`${all} ${narrow}`);
    await t.sees(page.getByText('/ 2'));
    t.same(await cells(list), [`${prefix}c-${tag}`, `${prefix}b-${tag}`], `${path}, narrowed`);
    await t.shot(list);
    await type(`${all} name:nobody`);
    await t.sees(page.getByText('Nothing matches'));
    await type('colour:red');
    await t.sees(page.getByText('the keys are'), `${path}: what is wrong with the filter is not told`);
  }
  await t.shot('wrong');

  // The reader's sessions, also on their own page.
  for (const path of ['/access/sessions', '/profile']) {
    await t.open(`${path}?q=method:password&sort=-seen`);
    await t.sees(page.locator('[data-list="sessions"]').getByText('this one'));
    await page.getByRole('textbox', { name: 'Filter' }).fill('method:oidc');
    await page.keyboard.press('Enter');
    await t.sees(page.getByText('Nothing matches'));
    await t.accessible(path);
  }

  // The log: by who, what, which object and when; the newest first or the oldest.
  const rows = page.locator('[data-list="audit"] tbody tr');
  await t.open('/access/audit');
  await t.sees(rows);
  await t.inBoth(async (l) => {
    await t.sees(page.getByLabel(l === 'zh' ? '操作者' : 'Who', { exact: true }));
    await t.accessible(`audit ${l}`);
    await t.shot(`audit-${l}`);
  });
  await page.getByLabel('Path begins with').fill(`/v1/products/${made.product[0]}`);
  await t.sees(rows.getByText('createProduct'));
  await page.getByLabel('Path begins with').fill('/v1/');
  await page.getByLabel('What', { exact: true }).fill('create*');
  await page.getByLabel('Who', { exact: true }).fill('bootstrap');
  await page.waitForURL(/actor=bootstrap/);
  const shown = () => page.waitForFunction(() => {
    const list = [...document.querySelectorAll('[data-list="audit"][aria-busy="false"] tbody tr')].map((r) => [r.children[1].textContent, r.children[2].textContent]);
    return list.length > 0 && list.every(([who, what]) => who === 'bootstrap' && what.startsWith('create'));
  });
  await shown();
  await page.getByRole('button', { name: 'When', exact: true }).click();
  await page.waitForURL(/sort=created/);
  await shown();
  t.same(await page.getByRole('columnheader', { name: 'When' }).getAttribute('aria-sort'), 'ascending', 'what a screen reader is told of the log');
  await page.getByRole('combobox', { name: 'Time' }).click();
  await page.getByRole('option', { name: 'Last hour' }).click();
  await page.waitForURL(/since=-1h/);
  await shown();
  await t.accessible('audit narrowed');
  await t.shot('audit-narrowed');
  await page.getByLabel('Who', { exact: true }).fill('nobody at all');
  await t.sees(page.getByText('Nothing matches'));
  await t.colours('dark');
  await t.accessible('audit dark');
  await t.shot('audit-dark');
  await t.colours('light');

  // On a telephone nothing is wider than the screen.
  await page.setViewportSize({ width: 390, height: 800 });
  for (const path of ['/access/audit', '/access/keys', '/access/members', '/products', '/groups']) {
    await t.open(path);
    await t.sees(page.locator('[data-list] tbody tr'));
    t.same(await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth), 0, `${path}: pixels that stand over`);
    await t.shot(`narrow${path.replaceAll('/', '-')}`);
  }

  for (const id of made.key) await t.api('DELETE', `/v1/api-keys/${id}`);
  for (const sn of made.product) await t.api('DELETE', `/v1/products/${sn}`);
  for (const name of names) {
    await t.api('DELETE', `/v1/groups/list-${name}`);
    await t.api('DELETE', `/v1/projects/default/members/list-${name}`);
  }
}
