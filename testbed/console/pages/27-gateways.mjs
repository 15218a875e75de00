// A gateway that is the agent itself: in the list with what is behind it, and with what it tells of itself.
export default async function (t) {
  const { page } = t;
  await t.open('/gateways');
  await t.inBoth(async (l) => {
    await t.sees(t.heading(l === 'zh' ? '网关' : 'Gateways'));
    await t.accessible(`empty ${l}`);
  });
  const gateways = (await t.api('POST', '/v1/products', { name: 'Hall gateway', kind: 'gateway' })).productSN;
  const meters = (await t.api('POST', '/v1/products', { name: 'Hall meter', kind: 'subdevice' })).productSN;
  await t.tell(`gateway/${gateways}/${meters}`, await t.api('GET', '/v1/director'));
  await t.open(`/gateways?product=${gateways}`);
  await t.sees(page.locator('[data-list=gateways] [data-state=online]'), 'the gateway does not come');
  const gateway = (await t.api('GET', `/v1/devices?filter=product:${gateways}`)).items[0].deviceSN;
  const meter = (await t.api('GET', `/v1/devices?filter=product:${meters}`)).items[0].deviceSN;
  await page.getByRole('button', { name: `Show the sub-devices of ${gateway}` }).click();
  await t.sees(page.getByRole('link', { name: meter }), 'the sub-device is not under the gateway');
  await page.waitForURL(/open=/);
  await t.inBoth((l) => t.accessible(l));
  await t.sees(page.getByRole('link', { name: meter }), 'the branch does not stay open');
  await t.shot('list');

  await page.getByRole('link', { name: gateway }).click();
  await t.sees(t.heading(gateway));
  await t.sees(page.getByRole('region', { name: 'Agent' }).getByText('linux/'), 'the agent does not say where it runs');
  await t.sees(page.getByRole('link', { name: meter }));
  await t.sees(page.locator('[data-list=routes]').getByRole('cell', { name: 'quiet' }), 'its route is not told');
  await t.inBoth((l) => t.accessible(`gateway ${l}`));
  await t.shot('gateway');

  // A configuration of the hub: what changes is shown, the agent takes it on trial, and that it holds is told without a reload.
  await page.getByRole('tab', { name: 'Configuration' }).click();
  await page.waitForURL(/\/config$/);
  await t.sees(page.getByText('The hub has no configuration for this agent', { exact: false }));
  await page.getByRole('textbox', { name: 'Configuration' }).fill('log: {level: debug}\nlisten: 127.0.0.1:0\n');
  await t.sees(page.locator('[data-line="new"]').getByText('level: debug'));
  await page.getByRole('textbox', { name: 'Note', exact: false }).fill('more words');
  await t.accessible('configuration');
  await t.shot('change');
  await page.getByRole('button', { name: 'Set it' }).click();
  await t.sees(page.locator('[data-config=offered], [data-config=trial], [data-config=applied]'), 'not what became of it');
  await t.shot('trial');
  await t.sees(page.locator('[data-config=applied]'), 'the agent does not keep it');
  await t.sees(page.locator('[data-list=config-versions]').getByText('more words'));
  await t.accessible('applied');
  await t.shot('applied');

  // The state filter is in the address, and the hub applies it.
  await t.open(`/gateways?product=${gateways}&state=disabled`);
  await t.sees(page.getByText('No gateways.'));
}
