// The list of devices: search, order, pages, selection; and a device's page, live.
export default async function (t) {
  const { page, world } = t;
  await t.open('/devices');
  await t.sees(t.heading('Devices'));
  await t.sees(page.getByRole('link', { name: 'pump-1' }));
  await t.inBoth(async (l) => {
    await t.sees(t.heading(l === 'zh' ? '设备' : 'Devices'));
    await t.sees(page.getByRole('link', { name: 'pump-1' }));
    await t.accessible(l);
    await t.shot(l);
  });
  await t.colours('dark');
  await t.sees(page.getByRole('link', { name: 'pump-1' }));
  await t.accessible('dark');
  await t.shot('dark');
  await t.colours('light');

  // What a device is called is text.
  await t.sees(page.getByText(world.script));
  t.same(await page.evaluate(() => globalThis.pwned ?? null), null, 'a script in a name ran');

  // The filter is the hub's, and in the address.
  await page.getByLabel('Filter').fill('sn:pump*');
  await page.keyboard.press('Enter');
  await t.sees(page.getByText('/ 3'));
  if (!page.url().includes('q=sn')) throw new Error(`the filter is not in the address: ${page.url()}`);
  await page.reload();
  await t.sees(page.getByText('/ 3'));
  await page.getByLabel('Filter').fill('state:asleep');
  await page.keyboard.press('Enter');
  await t.sees(page.getByText('is no state'));
  await page.goBack();
  await t.sees(page.getByText('/ 3'));

  // Pages by cursor.
  await t.open('/devices?n=25&sort=sn');
  const first = page.locator('tbody tr a').first(); // times in the row change by themselves
  await t.sees(page.getByRole('button', { name: 'Next page' }));
  const before = await first.textContent();
  await page.getByRole('button', { name: 'Next page' }).click();
  await page.waitForFunction((b) => document.querySelector('tbody tr a')?.textContent !== b, before);
  await page.getByRole('button', { name: 'Previous page' }).click();
  await page.waitForFunction((b) => document.querySelector('tbody tr a')?.textContent === b, before);

  // A device's page, and its state live.
  await t.open(`/devices/${world.product}/pump-1`);
  await t.sees(t.heading('pump-1'));
  await t.sees(page.locator('h1 ~ [data-state="online"]'));
  await t.accessible('device');
  await t.shot('device');
  await t.tell('device/pump-1/off');
  await t.sees(page.locator('h1 ~ [data-state="offline"]'), 'the state did not follow');
  await t.tell('device/pump-1/on');
  await t.sees(page.locator('h1 ~ [data-state="online"]'), 'the state did not follow');

  // The secret is hidden until it is asked for.
  t.same(await page.getByText(world.secret).count(), 0, 'secrets on the page');
  await page.getByRole('button', { name: 'Show' }).click();
  await t.sees(page.getByText(world.secret));

  // Edit, with the name as text.
  await page.getByRole('button', { name: 'Edit' }).click();
  await page.getByRole('dialog').getByLabel('Name').first().fill('Pump "one" & <b>more</b>');
  await page.getByRole('button', { name: 'Save' }).click();
  await t.sees(page.getByText('Pump "one" & <b>more</b>'));
}
