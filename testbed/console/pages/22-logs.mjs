// The message log: kept and live, narrowed by kind, device, result, time and content; a message's way with its hops; payloads as text, hex and base64.
export default async function (t) {
  const { page, world } = t;
  await t.open('/logs');
  const rows = page.locator('[data-list="messages"] tbody tr');
  await t.inBoth(async (l) => {
    await t.sees(t.heading(l === 'zh' ? '消息日志' : 'Message log'));
    await t.sees(rows);
    await t.accessible(l);
    await t.shot(`list-${l}`);
  });
  t.same(await page.evaluate(() => globalThis.pwned ?? null), null, 'a script in a payload ran');

  // By kind.
  await page.getByRole('tab', { name: 'Behaviour' }).click();
  await t.sees(rows.getByText('Behaviour · login'));
  t.same(await rows.getByText('Uplink').count(), 0, 'uplinks among the behaviour');
  // A record of no message opens by itself.
  await rows.filter({ hasText: 'login' }).getByRole('button').first().click();
  await t.sees(page.getByRole('dialog').locator('[data-hop="door"]'));
  await t.accessible('record');
  await t.shot('record');
  await page.keyboard.press('Escape');

  // By content, device and time; all in the address.
  await page.getByRole('tab', { name: 'Uplink' }).click();
  await page.getByLabel('Filter').fill('"leak"');
  await page.keyboard.press('Enter');
  await t.sees(rows.getByText('tmodel/event/post'));
  await page.getByLabel('Filter').fill('no such text anywhere');
  await page.keyboard.press('Enter');
  await t.sees(page.getByText('Nothing matches'));
  await t.open(`/logs?view=uplink&product=${world.product}&device=pump-2&since=-1h&result=ok`);
  await t.sees(rows.getByText('pump-2'));
  t.same(await rows.getByText('pump-1').count(), 0, 'another device’s records');
  await t.accessible('narrowed');

  // One message with every hop.
  await rows.getByRole('link').first().click();
  await t.sees(page.getByRole('heading', { level: 1, name: /^Message \d+$/ }));
  await t.sees(page.locator('[data-record="uplink"] [data-hop="model"]'));
  await t.inBoth(async (l) => {
    await t.sees(page.locator('[data-record="uplink"] [data-hop="store"]'));
    await t.accessible(`message ${l}`);
    await t.shot(`message-${l}`);
  });
  const bodies = page.locator('[data-record="uplink"]').getByRole('group', { name: 'Payload', exact: true }).first();
  await bodies.getByText('UTF-8', { exact: true }).click();
  await t.sees(bodies.locator('pre').getByText('"Property"'));
  await bodies.getByText('Hex', { exact: true }).click();
  await t.sees(bodies.getByText('000000  7b'));
  await bodies.getByText('Base64', { exact: true }).click();
  await t.sees(bodies.getByText(/^eyJ/));

  // What an application did and sent, by its key.
  const key = await t.api('POST', '/v1/api-keys', { name: 'board', role: 'operator', project: 'default' });
  await t.tell(`application/${key.id}`, key.key);
  await t.until('the application is in the log', async () => {
    const kinds = (await t.api('GET', `/v1/messages?application=${key.id}`)).items.map((r) => r.action ?? r.kind);
    return kinds.includes('downlink') && kinds.includes('login');
  });
  await t.open('/logs');
  await page.getByLabel('Application', { exact: true }).fill(`${key.id}:board`);
  await t.sees(rows.filter({ hasText: 'Downlink' }).getByText('pump-1'), 'what the application sent');
  await t.sees(rows.filter({ hasText: 'Behaviour · login' }).getByText(`${key.id}:board`), 'its login');
  t.same(await rows.filter({ hasText: 'Uplink' }).count(), 0, 'what others did');
  await t.accessible('application');
  await t.shot('application');
  await page.getByLabel('Application', { exact: true }).fill('nosuchkey');
  await t.sees(page.getByText('No records', { exact: true }));
  await t.api('DELETE', `/v1/api-keys/${key.id}`);

  // What a device says that is no text.
  await t.tell('device/pump-3/publish', 'upload\nplain words, and then:\u0000\u0001');
  await t.until('the message is in the log', async () => (await t.api('GET', `/v1/messages?product=${world.product}&device=pump-3&contains=/pump-3/upload`)).items.length > 0);

  // Live, with a pause.
  await t.open(`/logs?product=${world.product}&device=pump-1&view=uplink`);
  await page.getByRole('button', { name: 'Follow live' }).click();
  const live = page.locator('[data-list="tail"] tbody tr');
  await t.sees(page.locator('[data-stream="open"]'));
  await t.sees(live);
  await t.accessible('live');
  await t.shot('live');
  await page.getByRole('button', { name: 'Pause' }).click();
  await t.sees(page.locator('[data-stream="paused"]'));
  await t.sees(page.getByText(/have come meanwhile/), 'nothing was held back');
  const held = await live.count();
  await page.waitForTimeout(600);
  t.same(await live.count(), held, 'rows while it was paused');
  await page.getByRole('button', { name: 'Go on' }).click();
  await page.waitForFunction((n) => document.querySelectorAll('[data-list="tail"] tbody tr').length > n, held);

  await t.colours('dark');
  await t.open('/logs?view=all');
  await t.sees(rows);
  await t.accessible('dark');
  await t.shot('dark');
  await t.colours('light');
}
