// What devices have sent as files: found by device, name, class, size and time; downloaded; deleted, one and several.
export default async function (t) {
  const { page, world } = t;
  await t.open('/files');
  await t.sees(t.heading('Files'));
  for (const [device, kind, name, size] of [
    ['pump-1', 'log', 'pump.log', 400],
    ['pump-1', 'image', 'front.jpg', 5_000],
    ['pump-2', 'log', 'second.log', 300_000],
  ]) {
    await t.tell(`file/${device}/${kind}/${name}`, 'line of a file\n'.repeat(size / 15 + 1).slice(0, size));
  }
  await t.open(`/files?product=${world.product}`);
  const rows = page.locator('[data-list="files"] tbody tr');
  const count = async (n) => page.waitForFunction((want) => document.querySelectorAll('[data-list="files"] tbody tr').length === want, n);
  await t.sees(rows.getByText('front.jpg'));
  await count(3);
  await t.inBoth(async (l) => {
    await t.sees(t.heading(l === 'zh' ? '文件' : 'Files'));
    await t.sees(rows.getByText('front.jpg'));
    await t.accessible(l);
    await t.shot(`list-${l}`);
  });

  // One that is still coming in is above the list with how far it is; when it has come it is in the list by itself.
  await t.tell('half/pump-3/half.log');
  await t.open(`/files?product=${world.product}`);
  const coming = page.locator('[data-list="uploads"] tbody tr');
  await t.sees(coming.getByText('half.log'));
  await t.sees(coming.getByText('40 %', { exact: false }), 'not how far it is');
  await t.accessible('coming');
  await t.shot('coming');
  await t.tell('whole');
  await t.sees(rows.getByText('half.log'), 'what has come is not in the list');
  await coming.first().waitFor({ state: 'detached' });
  await count(4);

  // Narrowed by the hub, in the address.
  await page.getByLabel('Filter').fill('*.log');
  await page.keyboard.press('Enter');
  await count(3);
  await t.open(`/files?product=${world.product}&class=image&since=-1h`);
  await count(1);
  await t.sees(rows.getByText('front.jpg'));
  await t.open(`/files?product=${world.product}&device=pump-1&max=1`);
  await count(1);
  await t.sees(rows.getByText('pump.log'));

  // Downloaded as it was sent.
  const download = page.waitForEvent('download');
  await page.getByRole('link', { name: 'pump.log' }).click();
  const file = await download;
  t.same(file.suggestedFilename(), 'pump.log', 'the name of the download');
  const chunks = [];
  for await (const chunk of await file.createReadStream()) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString();
  t.same([text.length, text.startsWith('line of a file\n')], [400, true], 'the content');

  await page.getByRole('button', { name: 'Delete pump.log' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await t.sees(page.getByText('Deleted'));
  await t.open(`/files?product=${world.product}`);
  await count(3);
  await page.getByLabel('Select all rows of this page').check();
  await t.accessible('selected');
  await t.shot('selected');
  await page.getByRole('region', { name: '3 selected' }).getByRole('button', { name: 'Delete' }).click();
  await page.getByLabel('Type 3 to confirm').fill('3');
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await t.sees(page.getByText('No files.', { exact: false }));
}
