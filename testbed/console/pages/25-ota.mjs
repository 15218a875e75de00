// Firmware from its file to the devices: added with a digest that is compared, brought in two waves, and watched while stock devices take it.
export default async function (t) {
  const { page } = t;
  const size = Number(await (await fetch(`${t.control}/fleet/size`)).text());
  const { productSN } = await t.api('POST', '/v1/products', { name: 'Meter' });
  const of = `/v1/products/${productSN}`;
  await t.tell(`fleet/${productSN}/${size}`);

  await t.open(`/ota/firmware?product=${productSN}`);
  await t.inBoth(async (l) => {
    await t.sees(page.getByRole('tab', { name: l === 'zh' ? '固件' : 'Firmware', selected: true }));
    await t.accessible(l);
  });
  await page.getByRole('button', { name: 'Add firmware' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.locator('input[type=file]').setInputFiles({ name: 'meter-2.bin', mimeType: 'application/octet-stream', buffer: Buffer.alloc(300_000, 7) });
  await t.sees(dialog.getByText('Digest of the file here'));
  await dialog.getByLabel('Version').fill('2.0');
  await dialog.getByLabel('Description').fill('Reads twice a day');
  await t.accessible('upload');
  await t.shot('upload');
  await dialog.getByRole('button', { name: 'Add firmware' }).click();
  await t.sees(page.getByText('Added; the hub holds the same bytes'));
  await t.sees(page.getByRole('cell', { name: 'Reads twice a day' }));
  await t.shot('firmware');

  // The campaign is asked for in four steps, and tried dry before it starts.
  await page.getByRole('link', { name: 'New campaign with default 2.0' }).click();
  await t.sees(t.heading('New campaign'));
  await page.getByLabel('Name').fill('Second reading');
  await t.sees(page.getByText(`${size.toLocaleString('en')} devices are targets`), 'the targets are not counted');
  await t.accessible('targets');
  await t.shot('targets');
  await page.getByRole('button', { name: 'Next' }).click();
  await page.getByLabel('Up to %').first().fill('20');
  await page.getByLabel('Soak, seconds').first().fill('');
  await page.getByLabel('Then wait for somebody').first().check();
  await page.getByRole('button', { name: 'Remove wave 2' }).click();
  await t.inBoth((l) => t.accessible(`waves ${l}`));
  await t.shot('waves');
  await page.getByRole('button', { name: 'Next' }).click();
  await page.getByLabel('Stop above failures, %').fill('60');
  await t.inBoth((l) => t.accessible(`safety ${l}`));
  await t.shot('safety');
  await page.getByRole('button', { name: 'Next' }).click();
  await t.sees(page.getByText(`${size / 5} devices have come`, { exact: true }), 'the dry run does not tell the waves');
  await t.accessible('dry run');
  await t.shot('review');
  await page.getByRole('button', { name: 'Start the campaign' }).click();
  await t.sees(t.heading('Second reading'));
  const made = (await t.api('GET', `${of}/campaigns`)).items[0];
  t.same([made.stop.limit, made.waves.length, made.waves[0].hold], [60, 2, true], 'the campaign');
  await t.open(`/ota?product=${productSN}`);
  await t.inBoth(async (l) => {
    await t.sees(page.getByRole('link', { name: 'Second reading' }));
    await t.accessible(l);
  });
  await t.shot('campaigns');
  await page.getByRole('link', { name: 'Second reading' }).click();
  await t.sees(t.heading('Second reading'));
  await page.waitForURL(new RegExp(`/ota/campaigns/${productSN}/${made.campaignID}`));

  // The board: the first wave downloads; then one device ends, and that is to be seen within a second of its report: measured, and demanded of the long form only.
  const count = (state) => page.locator(`[data-count=${state}]`);
  const first = size / 5;
  await t.sees(count('downloading').getByText(String(first), { exact: true }), 'the first wave does not download');
  await t.accessible('board');
  await t.shot('downloading');
  // While it runs its pace is changed, and the wave that is to come; the one that has begun stays as it is.
  await page.getByRole('button', { name: 'Change', exact: true }).click();
  await dialog.getByLabel('Offers a minute').fill('6000');
  t.same(await dialog.getByLabel('Up to %').first().isDisabled(), true, 'a wave that has begun can be changed');
  await dialog.getByRole('group', { name: 'Wave 2' }).getByLabel('Through at %').fill('100');
  await dialog.getByRole('button', { name: 'Watch health' }).click();
  await t.sees(dialog.getByRole('group', { name: 'Wave 2' }).getByLabel('More offline, % points'));
  await t.inBoth((l) => t.accessible(`change ${l}`));
  await t.shot('change');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await t.sees(page.getByText('The campaign is changed'));
  const changed = await t.api('GET', `${of}/campaigns/${made.campaignID}`);
  t.same([changed.rate.perMinute, changed.waves[0].hold, changed.waves[1].settled], [6000, true, 100], 'the changed campaign');
  const told = Date.now();
  await t.tell('fleet/go/1');
  await t.sees(page.locator('[data-count=succeeded], [data-count=failed]'), 'the first device is not seen to end');
  const took = Date.now() - told;
  console.log(`board: ${took} ms from a device's report to its number`);
  if (size >= 1000 && took > 3000) throw new Error(`the board took ${took} ms`);
  await t.tell(`fleet/go/${first - 1}`);
  await t.sees(page.locator('[data-status=paused]'), 'the wave does not hold');
  await page.getByRole('button', { name: 'Resume' }).click();
  await t.sees(page.getByText('Wave 2 of 2'));
  await t.sees(count('downloading'));
  await page.getByRole('button', { name: 'Pause' }).click();
  await t.sees(page.locator('[data-status=paused]'));
  await page.getByRole('button', { name: 'Resume' }).click();
  await t.sees(page.locator('[data-status=running]'));
  await t.tell(`fleet/go/${size - first}`);
  await t.sees(page.locator('[data-status=done]'), 'the campaign does not end');

  // What the board shows in the end is what the hub says; the reasons are told, and the devices of a state can be chosen.
  const { devices } = await t.api('GET', `${of}/campaigns/${made.campaignID}`);
  t.same(devices.succeeded + devices.failed, size, 'devices that ended');
  await t.sees(count('succeeded').getByText(devices.succeeded.toLocaleString('en'), { exact: true }));
  await t.sees(page.getByRole('region', { name: 'Why devices failed' }));
  await t.shot('done');
  await count('failed').click();
  await page.waitForURL(/state=failed/);
  await t.sees(page.locator('[data-list="campaign-devices"] [data-state=failed]'));
  await page.locator('[data-list="campaign-devices"] [data-state=succeeded]').first().waitFor({ state: 'detached' });
  await t.inBoth((l) => t.accessible(l));
  await page.locator('[data-list="campaign-devices"] .row-link').first().click();
  await t.sees(page.getByRole('heading', { level: 2, name: 'What happened' }));
  await t.sees(page.locator('[data-list=timeline] [data-state=failed]'));
  await t.accessible('timeline');
  await t.shot('timeline');

  await t.open(`/ota/versions?product=${productSN}`);
  await t.sees(page.locator('[data-list=versions]').getByRole('cell', { name: '2.0', exact: true }));
  await t.inBoth((l) => t.accessible(l));
  await t.shot('versions');

  // Rolling back wants the campaign's name typed.
  await t.open(`/ota/campaigns/${productSN}/${made.campaignID}`);
  await page.getByRole('button', { name: 'Roll back' }).click();
  await t.accessible('roll back');
  t.same(await page.getByRole('dialog').getByRole('button', { name: 'Roll back' }).isDisabled(), true, 'rolling back without the name');
  await page.getByRole('button', { name: 'Cancel' }).click();
}
