// Groups of members and by a filter.
export default async function (t) {
  const { page, world } = t;
  await t.open('/groups');
  await t.inBoth(async (l) => {
    await t.sees(t.heading(l === 'zh' ? '分组' : 'Groups'));
    await t.accessible(l);
  });
  await page.getByRole('button', { name: 'Create group' }).click();
  await page.getByRole('dialog').getByLabel('Name').fill('hall-2');
  await page.getByRole('dialog').getByRole('button', { name: 'Create group' }).click();
  await t.sees(t.heading('hall-2'));
  await page.getByRole('button', { name: 'Put devices in' }).click();
  await page.getByRole('dialog').getByLabel('Device').fill(`${world.product}/pump-1\n${world.product}/pump-3`);
  await page.getByRole('dialog').getByRole('button', { name: 'Put devices in' }).click();
  await t.sees(page.getByRole('link', { name: 'pump-3' }));
  await page.getByRole('checkbox', { name: `Select ${world.product}/pump-1` }).click();
  await page.getByRole('button', { name: 'Take 1 out' }).click();
  await page.getByRole('link', { name: 'pump-1' }).waitFor({ state: 'detached' });
  await t.accessible('group');
  await t.shot('group');
  await t.open('/groups');
  await page.getByRole('button', { name: 'Create group' }).click();
  await page.getByRole('dialog').getByLabel('Name').fill('north');
  await page.getByRole('dialog').getByLabel('Filter').fill('tag.site:north');
  await page.getByRole('dialog').getByRole('button', { name: 'Create group' }).click();
  await t.sees(page.getByRole('link', { name: 'pump-2' }));
}
