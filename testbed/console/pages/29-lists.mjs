// The lists of products, groups, rules, connectors, alarms, campaigns, firmware and CAs are filtered, sorted and counted by the hub; what is shown is in the address.
export default async function (t) {
  const { page, world } = t;
  const made = [];
  for (const [name, enabled] of [['list b', true], ['list a', false], ['list c', true]]) {
    made.push(await t.api('POST', '/v1/rules', { name, enabled, sql: `SELECT deviceSN() AS d FROM /${world.product}/+/nowhere`, actions: [{ kind: 'http', url: `${t.control}/hook/200` }] }));
  }
  const rows = (list) => page.locator(`[data-list="${list}"] tbody tr .row-link`);
  await t.open('/rules?q=list&sort=-name');
  await t.sees(page.getByText('/ 3'));
  t.same(await rows('rules').allTextContents(), ['list c', 'list b', 'list a'], 'rules by name, the other way round');
  await page.getByRole('textbox', { name: 'Filter' }).fill('list state:enabled');
  await page.keyboard.press('Enter');
  await page.waitForURL(/q=list\+state%3Aenabled/);
  await t.sees(page.getByText('/ 2'));
  await page.getByRole('button', { name: 'Name', exact: true }).click(); // down, none, up
  await page.getByRole('button', { name: 'Name', exact: true }).click();
  await page.waitForURL(/sort=name/);
  await page.waitForFunction(() => document.querySelector('[data-list="rules"] tbody .row-link')?.textContent === 'list b');
  t.same(await page.getByRole('columnheader', { name: 'Name' }).getAttribute('aria-sort'), 'ascending', 'what a screen reader is told');
  await t.inBoth((l) => t.accessible(`rules ${l}`));
  await t.shot('rules');
  await page.getByRole('textbox', { name: 'Filter' }).fill('state:online');
  await page.keyboard.press('Enter');
  await t.sees(page.getByText('they are enabled, disabled'), 'what is wrong with the filter is not told');
  await t.shot('wrong');

  // All that match, with the buttons of the list; only those that are on can be switched off.
  await t.open('/rules?q=list');
  await page.getByLabel('Select all rows of this page').check();
  await page.getByRole('region', { name: '3 selected' }).getByRole('button', { name: 'Disable' }).click();
  await t.sees(page.getByText('2 done'));
  t.same((await t.api('GET', '/v1/rules?filter=list&count=true')).counts, { disabled: 3, enabled: 0 }, 'counted by state');

  for (const [path, list, filter, sort] of [
    ['/products', 'products', 'kind:device published:no', 'kind'],
    ['/groups', 'groups', 'kind:filter', 'description'],
    ['/system/cas', 'cas', 'status:issuing', 'expires'],
    ['/connectors', 'connectors', 'used:no', 'kind'],
    ['/alarms', 'alarms', '-state:cleared severity:critical', 'severity'],
    ['/alarms/rules', 'alarm-rules', 'state:enabled kind:presence', 'updated'],
    ['/alarms/channels', 'alarm-channels', 'state:failing', 'failures'],
    ['/ota', 'campaigns', 'status:paused', 'status'],
    ['/ota/firmware', 'firmware', 'size>1', 'size'],
    ['/ota/releases', 'releases', 'ready:no', 'sequence'],
  ]) {
    await t.open(`${path}?q=${encodeURIComponent(filter)}&sort=${sort}&show=all`);
    await t.sees(page.getByRole('textbox', { name: 'Filter' }));
    await t.sees(page.locator(`[data-list="${list}"]`).or(page.getByText('Nothing matches')), `${path} does not answer`);
    await t.accessible(path);
  }
  await t.shot('firmware');
  for (const r of made) await t.api('DELETE', `/v1/rules/${r.id}`);
}
