// The hub itself: its version and doors, its API, and its CAs for devices, of which a new one takes over and the old one is retired.
export default async function (t) {
  const { page } = t;
  const info = await t.api('GET', '/v1/info');
  await t.open('/system');
  await t.inBoth(async (l) => {
    await t.sees(t.heading(l === 'zh' ? '系统' : 'System'));
    await t.sees(page.getByText(info.version, { exact: true }));
    await t.sees(page.getByText(info.addresses.mqtt, { exact: true }));
    await t.accessible(l);
    await t.shot(l);
  });
  for (const name of ['The API to read', 'The API as an OpenAPI document']) {
    const to = await page.getByRole('link', { name }).getAttribute('href');
    t.same((await fetch(t.hub + to)).status, 200, to);
  }

  // The nodes, of which there is this one.
  await page.getByRole('tab', { name: 'Nodes' }).click();
  await page.waitForURL(/system\/nodes$/);
  await t.sees(page.locator('[data-list="nodes"] [data-node="up"]'));
  await t.inBoth((l) => t.accessible(`nodes ${l}`));
  await t.shot('nodes');

  // A new CA issues, and the one before is trusted still.
  const [before] = (await t.api('GET', '/v1/cas')).items;
  await t.api('POST', `/v1/products/${t.world.product}/devices/pump-2/certificates`, {});
  await page.getByRole('tab', { name: 'CAs for devices' }).click();
  await page.waitForURL(/system\/cas$/);
  const rows = page.locator('[data-list="cas"] tbody tr');
  await t.sees(rows.locator('[data-ca="issuing"]'));
  await page.getByRole('button', { name: 'Make a new CA' }).click();
  await t.sees(page.getByRole('dialog').getByText('issues from now on'));
  await t.accessible('rotate');
  await page.getByRole('dialog').getByRole('button', { name: 'Make a new CA' }).click();
  await t.sees(page.getByText('A new CA issues from now on'));
  await t.sees(rows.locator('[data-ca="trusted"]'));
  await t.inBoth(async (l) => {
    await t.sees(page.getByRole('tab', { name: l === 'zh' ? '设备 CA' : 'CAs for devices' }));
    await t.accessible(`cas ${l}`);
    await t.shot(`cas-${l}`);
  });
  const [now] = (await t.api('GET', '/v1/cas')).items;
  t.same(now.id === before.id, false, 'the CA that issues is the one before');

  // The old one by itself: its certificate to take along, and its end.
  await t.open(`/system/cas/${before.id}`);
  await t.sees(page.getByText('BEGIN CERTIFICATE'));
  await t.inBoth(async (l) => {
    await t.sees(page.getByRole('button', { name: l === 'zh' ? '下载 PEM' : 'Download PEM' }));
    await t.accessible(`ca ${l}`);
    await t.shot(`ca-${l}`);
  });
  const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Download PEM' }).click()]);
  t.same(file.suggestedFilename(), `ca-${before.id.slice(0, 12)}.pem`, 'name of the file');
  // A certificate of it holds: that it ends too must be said.
  const short = before.id.slice(0, 8);
  const retire = async (force) => {
    await page.getByRole('button', { name: 'Retire' }).click();
    if (force) await page.getByRole('dialog').getByLabel(/^Also revoke the/).check();
    await page.getByRole('dialog').getByLabel(`Type ${short} to confirm`).fill(short);
    await t.accessible('retire');
    await t.shot(force ? 'retire-force' : 'retire');
    await page.getByRole('dialog').getByRole('button', { name: 'Retire' }).click();
    await page.getByRole('dialog').waitFor({ state: 'detached' });
  };
  await retire(false);
  await t.sees(page.locator('.mantine-Notification-root').getByText(/hold|certificate/), 'no word of what holds');
  await t.sees(page.locator('h1 ~ [data-ca="trusted"]'));
  await retire(true);
  await t.sees(page.locator('h1 ~ [data-ca="retired"]'));
  t.same(await page.getByRole('button', { name: 'Retire' }).count(), 0, 'what is retired can be retired');
  t.same((await t.api('GET', `/v1/cas/${before.id}`)).status, 'retired', 'status');
  await t.colours('dark');
  await t.accessible('dark');
  await t.shot('ca-dark');
  await t.colours('light');
}
