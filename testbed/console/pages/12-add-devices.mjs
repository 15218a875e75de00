// Devices by count, by their numbers and from a file: tried first, then made, with the result to download.
import { readFileSync } from 'node:fs';

export default async function (t) {
  const { page, world } = t;
  await t.open(`/devices/add?product=${world.product}&by=count`);
  await t.sees(t.heading('Add devices'));
  await t.accessible();
  await page.getByLabel('How many').fill('12');
  await page.getByRole('button', { name: 'Add', exact: true }).click();
  await t.sees(page.getByText('12 devices are there'));
  const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Download serial numbers and secrets' }).click()]);
  const lines = readFileSync(await file.path(), 'utf8').trim().split('\r\n');
  t.same([file.suggestedFilename(), lines.length, lines[1].split(',').every((c) => c.length > 5)], ['devices.csv', 13, true], 'the file of secrets');

  await t.open(`/devices/add?product=${world.product}&by=list`);
  await page.getByLabel('Serial numbers, one a line').fill('valve-1\nvalve-2, valve-3');
  await page.getByRole('button', { name: 'Add', exact: true }).click();
  await t.sees(page.getByText('3 devices are there'));
  await t.sees(page.getByRole('link', { name: 'valve-3' }));

  await t.open(`/devices/add?product=${world.product}&by=file`);
  const buffer = Buffer.from('deviceSN,name,tag.site\nmotor-1,Motor,south\nmotor-2,"=1+1",south\nno,short,x\n');
  await page.locator('input[type=file]').setInputFiles({ name: 'fleet.csv', mimeType: 'text/csv', buffer });
  await page.getByRole('button', { name: 'Try it' }).click();
  await t.sees(page.locator('[data-job="done"]'));
  await t.sees(page.getByText('2 well, 1 failed'));
  await t.shot('dry');
  await t.api('GET', `/v1/devices?filter=sn:motor*`).then(({ items }) => t.same(items.length, 0, 'devices after a dry run'));
  await page.getByRole('button', { name: 'Import' }).click();
  await t.sees(page.getByText('It is done'));
  const [result] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Download the result' }).click()]);
  const text = readFileSync(await result.path(), 'utf8');
  if (!/motor-1/.test(text) || text.trim().split('\n').length !== 4) throw new Error(`the result: ${text}`);
  await t.language('zh');
  await t.sees(t.heading('添加设备'));
  await t.shot('zh');
}
