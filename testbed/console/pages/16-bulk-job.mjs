// Something done with every device that a filter takes, by a job of the hub: tried first, then done, and what cannot be undone wants the number typed.
export default async function (t) {
  const { page, world } = t;
  const dialog = page.getByRole('dialog');
  const names = ['bulk-1', 'bulk-2', 'bulk-3'];
  for (const deviceSN of names) await t.api('POST', `/v1/products/${world.product}/devices`, { deviceSN });
  await t.open('/devices?q=sn:bulk-*');
  await t.sees(page.getByText('/ 3'));
  await page.getByRole('button', { name: 'Do with all' }).click();
  await t.sees(dialog.getByText('sn:bulk-*', { exact: true }));
  await dialog.getByRole('combobox', { name: 'What' }).click();
  await page.getByRole('option', { name: 'Change tags' }).click();
  await dialog.getByLabel('Tags to set').fill('site=north');
  await page.keyboard.press('Enter');
  await dialog.getByLabel('Try only: tell what would be done, change nothing').check();
  await t.inBoth((l) => t.accessible(l));
  await t.shot('tags');
  await dialog.getByRole('button', { name: 'Try' }).click();
  await t.sees(dialog.locator('[data-job="done"]'));
  t.same((await t.api('GET', `/v1/products/${world.product}/devices/bulk-1`)).tags ?? {}, {}, 'tags after a try');
  await dialog.getByLabel('Try only: tell what would be done, change nothing').uncheck();
  await dialog.getByRole('button', { name: 'Start' }).click();
  await t.sees(dialog.getByText('It is done'));
  for (const sn of names) t.same((await t.api('GET', `/v1/products/${world.product}/devices/${sn}`)).tags, { site: 'north' }, `tags of ${sn}`);
  await t.shot('done');

  await dialog.getByRole('combobox', { name: 'What' }).click();
  await page.getByRole('option', { name: 'Delete' }).click();
  t.same(await dialog.getByRole('button', { name: 'Start' }).isDisabled(), true, 'deleting without the number typed');
  await dialog.getByLabel('Type 3 to confirm').fill('3');
  await dialog.getByRole('button', { name: 'Start' }).click();
  await page.getByText('Nothing matches').waitFor();
  await dialog.getByRole('button', { name: 'Close' }).last().click();
  await t.colours('dark');
  await t.accessible('dark');
  await t.colours('light');
}
