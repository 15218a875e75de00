// The hub restarts under an open page: it is told, and the page recovers by itself.
export default async function (t) {
  const { page } = t;
  await t.open('/devices?q=sn:pump*');
  await t.sees(page.getByText('/ 3'));
  const loads = [];
  page.on('load', () => loads.push(1));
  await t.tell('stop');
  await t.sees(page.locator('[data-banner="reconnecting"]'), 'no word of the hub that is away');
  await t.shot('away');
  await t.tell('start');
  await page.locator('[data-banner="reconnecting"]').waitFor({ state: 'detached' });
  await t.sees(page.getByText('/ 3'));
  await t.sees(page.locator('tbody [data-state="online"]'), 'nothing is live after the restart');
  t.same(loads.length, 0, 'loads of the page');
}
