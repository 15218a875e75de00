// What an operator sees first: numbers that follow the devices, the nodes, and charts of a span that is in the address.
export default async function (t) {
  const { page, world } = t;
  await t.open('/overview');
  await t.inBoth(async (l) => {
    await t.sees(t.heading(l === 'zh' ? '概览' : 'Overview'));
    await t.sees(page.getByRole('heading', { level: 2, name: l === 'zh' ? '节点' : 'Nodes' }));
    await t.sees(page.getByText(l === 'zh' ? '实时' : 'Live', { exact: true }));
    await t.accessible(l);
    await t.shot(l);
  });

  // The number of devices that are online follows them.
  const before = 3; // the pumps, all of which came before the page was opened
  await t.sees(page.getByRole('link', { name: `Online: ${before}`, exact: true }));
  await t.tell('device/pump-1/off');
  await t.sees(page.getByRole('link', { name: `Online: ${before - 1}`, exact: true }), 'the number did not follow');
  await t.tell('device/pump-1/on');
  await t.sees(page.getByRole('link', { name: `Online: ${before}`, exact: true }), 'the number did not follow');

  // The span and the product are in the address; a span that makes no sense is told.
  await page.getByText('7 days').click();
  await page.waitForURL(/span=week/);
  await t.open(`/overview?span=day&product=${world.product}`);
  await page.locator('input[value="day"]:checked').waitFor({ state: 'attached' });
  await t.open('/overview?span=custom&from=2026-01-02T00:00&to=2026-01-01T00:00');
  await t.sees(page.getByText('The end must be behind the beginning'));
  await t.accessible('span');
}
