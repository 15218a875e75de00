// Alarms: a rule made by hand opens one, which is acknowledged, cleared and found in the history; a channel is made, tested, and kept while a rule uses it.
export default async function (t) {
  const { page, world } = t;
  const dialog = page.getByRole('dialog');
  const rows = page.locator('[data-list="alarms"] tbody tr');

  // A channel: what the form wants is said first, a test tells what the other side said, and its secret never comes back.
  await t.open('/alarms/channels');
  await t.sees(page.getByText('No channels yet', { exact: false }));
  await page.getByRole('link', { name: 'Create channel' }).click();
  await t.sees(t.heading('Create channel'));
  await page.getByRole('textbox', { name: 'Name', exact: true }).fill('ops');
  await page.getByRole('button', { name: 'Create channel' }).click();
  await t.sees(page.getByText('Required'));
  await page.getByLabel('URL (url)').fill(`${t.control}/hook/500`);
  await page.getByLabel('Secret that signs', { exact: false }).fill('a secret of more than 16 bytes');
  await t.accessible('new channel');
  await page.getByRole('button', { name: 'Create channel' }).click();
  await t.sees(t.heading('ops'));
  const channel = page.url().split('/').pop();
  await page.getByRole('button', { name: 'Send a test' }).click();
  await t.sees(page.locator('[data-test="failed"]'), 'a target that fails passed');
  await page.getByLabel('URL (url)').fill(`${t.control}/hook/204`);
  await page.getByLabel('Secret that signs', { exact: false }).fill('another secret of 16 bytes');
  await page.getByRole('button', { name: 'Save' }).click();
  await t.sees(page.getByText('Saved; it is in force'));
  await page.getByRole('button', { name: 'Send a test' }).click();
  await t.sees(page.locator('[data-test="ok"]'));
  await t.accessible('channel');
  await t.shot('channel');
  t.same((await page.content()).includes('a secret of more than'), false, 'the secret is in the page');

  // A rule by its form; the pumps report a pressure of 5 and more all the time.
  await t.open('/alarms/rules/new');
  await page.getByRole('textbox', { name: 'Name', exact: true }).fill('pressure');
  await page.getByRole('combobox', { name: 'Product', exact: false }).first().click();
  await page.getByRole('option', { name: 'Pump' }).click();
  await page.getByRole('combobox', { name: 'Only this device' }).fill('pump-1');
  await page.keyboard.press('Escape');
  await page.getByRole('combobox', { name: 'Property' }).fill('pressure');
  await page.keyboard.press('Escape');
  await page.getByRole('textbox', { name: 'Value', exact: false }).fill('1');
  await page.getByRole('combobox', { name: 'Channels' }).click({ force: true });
  await page.getByRole('option', { name: 'ops' }).click();
  await page.keyboard.press('Escape');
  await page.setViewportSize({ width: 1280, height: 1200 });
  await t.inBoth(async (l) => {
    await t.sees(t.heading(l === 'zh' ? '创建告警规则' : 'Create alarm rule'));
    await t.accessible(`new rule ${l}`);
    await t.shot(`new-rule-${l}`);
  });
  await page.setViewportSize({ width: 1280, height: 800 });
  await page.getByRole('button', { name: 'Create alarm rule' }).click();
  await t.sees(t.heading('pressure'));
  const rule = page.url().split('/').pop();
  t.same((await t.api('GET', `/v1/alarm-rules/${rule}`)).condition, { deviceSN: 'pump-1', kind: 'property', op: '>', productSN: world.product, property: 'pressure', value: 1 }, 'condition');

  // It opens an alarm, which comes by itself into the open list.
  await t.open('/alarms');
  await t.sees(rows.getByText('pressure').first());
  await t.inBoth(async (l) => {
    await t.sees(t.heading(l === 'zh' ? '告警' : 'Alarms'));
    await t.sees(rows);
    await t.accessible(l);
    await t.shot(`list-${l}`);
  });
  await rows.getByRole('link').first().click();
  await t.sees(page.locator('h1 ~ [data-alarm-state="open"]'));
  const alarm = page.url().split('/').pop();
  await page.getByRole('button', { name: 'Acknowledge' }).click();
  await t.sees(page.locator('h1 ~ [data-alarm-state="acknowledged"]'));
  await t.sees(page.locator('dd').getByText(t.user.login, { exact: true }), 'not who acknowledged it');
  await t.inBoth(async (l) => {
    await t.sees(page.getByRole('button', { name: l === 'zh' ? '清除' : 'Clear' }));
    await t.accessible(`one ${l}`);
    await t.shot(`one-${l}`);
  });

  // Narrowed by what is in the address.
  await t.open('/alarms?show=open');
  await t.sees(page.getByText('There are no such alarms'));
  await t.open(`/alarms?show=acknowledged&severity=major&rule=${rule}&product=${world.product}&device=pump-1`);
  await t.sees(rows);
  await t.accessible('narrowed');

  // Switched off by the list of rules, its alarm is cleared, and is in the history.
  await t.open('/alarms/rules');
  await t.inBoth(async (l) => {
    await t.sees(page.getByRole('link', { name: 'pressure' }));
    await t.accessible(`rules ${l}`);
    await t.shot(`rules-${l}`);
  });
  const ticks = page.locator('[data-list="alarm-rules"] tbody').getByRole('checkbox');
  await ticks.first().check();
  await page.getByRole('button', { name: 'Switch off' }).click();
  await t.sees(page.getByText('1 done'));
  await t.until('the alarm is cleared', async () => (await t.api('GET', `/v1/alarms/${alarm}`)).state === 'cleared');
  await t.open('/alarms?show=history');
  await t.sees(rows.locator('[data-alarm-state="cleared"]'));
  await t.colours('dark');
  await t.accessible('history dark');
  await t.shot('history-dark');
  await t.colours('light');

  // Switched on again it opens another, cleared by hand with several selected.
  const stored = await t.api('GET', `/v1/alarm-rules/${rule}`);
  await t.api('PUT', `/v1/alarm-rules/${rule}`, { name: 'pressure', enabled: true, severity: 'critical', condition: stored.condition, debounce: { seconds: 1 }, channels: [channel] });
  await t.open('/alarms');
  await t.sees(rows.locator('[data-severity="critical"]'));
  await page.locator('[data-list="alarms"] tbody').getByRole('checkbox').first().check();
  await page.getByRole('button', { name: 'Clear', exact: true }).first().click();
  await t.sees(page.getByText('1 done'));

  // A channel that a rule uses stays; then both go.
  await t.open('/alarms/channels');
  await t.sees(page.getByText('pressure'));
  await t.accessible('channels');
  await t.shot('channels');
  await t.open(`/alarms/channels/${channel}`);
  const remove = async (name) => {
    await page.getByRole('button', { name: 'Delete' }).click();
    await dialog.getByLabel(`Type ${name} to confirm`).fill(name);
    await dialog.getByRole('button', { name: 'Delete' }).click();
  };
  await remove('ops');
  await t.sees(page.getByText(/pressure/), 'no word of the rule that uses it');
  await t.open(`/alarms/rules/${rule}`);
  await remove('pressure');
  await t.sees(page.getByText('No alarm rules yet', { exact: false }));
  await t.open(`/alarms/channels/${channel}`);
  await remove('ops');
  await t.sees(page.getByText('No channels yet', { exact: false }));

  // The other kinds by their forms: a number of the project, and a device that goes, of which an alarm tells until it is back.
  const begin = async (name, kind) => {
    await t.open('/alarms/rules/new');
    await page.getByRole('textbox', { name: 'Name', exact: true }).fill(name);
    await page.getByRole('combobox', { name: 'Kind' }).click();
    await page.getByRole('option', { name: kind, exact: true }).click();
  };
  const made = async (name, condition) => {
    await page.getByRole('button', { name: 'Create alarm rule' }).click();
    await t.sees(t.heading(name));
    const { condition: got } = await t.api('GET', `/v1/alarm-rules/${page.url().split('/').pop()}`);
    t.same(got, condition, `condition of ${name}`);
  };
  await begin('silent', 'Metric');
  await page.getByRole('combobox', { name: 'Metric' }).fill('messages_up');
  await page.getByRole('option', { name: 'messages_up', exact: true }).click();
  await page.getByRole('textbox', { name: 'Over minutes' }).fill('10');
  await page.getByRole('combobox', { name: 'Comparison' }).click();
  await page.getByRole('option', { name: '<', exact: true }).click();
  await page.getByRole('textbox', { name: 'Value' }).fill('1');
  await t.accessible('metric');
  await t.shot('metric');
  await made('silent', { kind: 'metric', metric: 'messages_up', op: '<', value: 1, windowMinutes: 10 });
  await begin('away', 'Offline');
  await page.getByRole('combobox', { name: 'Product' }).click();
  await page.getByRole('option', { name: 'Pump' }).click();
  await page.getByRole('combobox', { name: 'Only this device' }).fill('pump-3');
  await page.keyboard.press('Escape');
  await t.accessible('presence');
  await made('away', { deviceSN: 'pump-3', kind: 'presence', productSN: world.product });
  await t.open('/alarms');
  await t.sees(page.getByText('All is quiet', { exact: false }));
  await t.tell('device/pump-3/off');
  await t.sees(rows.getByRole('link', { name: 'pump-3', exact: true }));
  await t.tell('device/pump-3/on');
  await t.sees(page.getByText('All is quiet', { exact: false }));
  for (const r of (await t.api('GET', '/v1/alarm-rules')).items) await t.api('DELETE', `/v1/alarm-rules/${r.id}`);
}
