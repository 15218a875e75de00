// One device spoken to: properties, a command, a message, a request; and a device that the browser plays over the hub's WebSocket door.
export default async function (t) {
  const { page, world } = t;
  const answer = (how) => page.locator(`[data-answer="${how}"]`);
  await t.open('/debug');
  await t.sees(page.getByText('Choose a product and a device'));
  await t.accessible('nothing chosen');
  await t.open(`/debug?product=${world.product}&device=pump-2`);
  await t.inBoth(async (l) => {
    await t.sees(t.heading(l === 'zh' ? '调试' : 'Debug'));
    await t.sees(page.getByLabel('(label)', { exact: false }));
    await t.accessible(l);
  });

  // Properties: those that are ticked.
  await page.getByRole('checkbox', { name: 'Label (label)' }).check();
  await page.getByLabel('New value').fill('by hand');
  await page.getByRole('button', { name: 'Set', exact: true }).click();
  await t.sees(answer('good').getByText('The device has taken them'));
  await t.shot('properties');

  // A command, by the form of its input.
  await page.getByRole('tab', { name: 'Command' }).click();
  await page.getByRole('textbox', { name: 'Seconds', exact: true }).fill('90');
  await page.getByLabel('Note').fill('x'.repeat(80));
  await page.getByRole('button', { name: 'Call' }).click();
  await t.sees(page.getByText('At most 60 characters'));
  await page.getByLabel('Note').fill('short');
  await page.getByRole('button', { name: 'Call' }).click();
  await t.sees(answer('good').getByText('45'), 'the output of the command');
  await t.accessible('command');
  await t.inBoth(async (l) => {
    await t.sees(page.getByRole('button', { name: l === 'zh' ? '调用' : 'Call' }));
    await t.shot(`command-${l}`);
  });

  // A message to a topic of its own, and its trace.
  await page.getByRole('tab', { name: 'Publish' }).click();
  await page.getByRole('textbox', { name: 'Payload' }).fill('{"led":1}');
  await page.getByRole('button', { name: 'Send', exact: true }).click();
  await t.sees(answer('good').getByRole('link'), 'no number of the message');
  await t.accessible('publish');
  await page.getByText('Hex', { exact: true }).first().click();
  await page.getByRole('textbox', { name: 'Payload' }).fill('zz');
  await t.sees(page.getByText('not in the form that is chosen'));

  // A request, which the pump answers.
  await page.getByRole('tab', { name: 'Request' }).click();
  await page.getByRole('textbox', { name: 'Payload' }).fill('{"get":"level"}');
  await page.getByRole('button', { name: 'Send and wait' }).click();
  await t.sees(answer('good').getByText('"level"'), 'the answer');
  await t.accessible('request');
  await t.shot('request');
  await t.tell('device/pump-2/off');
  await t.sees(page.locator('[data-state="offline"]'));
  await page.getByRole('button', { name: 'Send and wait' }).click();
  await t.sees(page.getByRole('alert'), 'no word of a device that is away');
  await t.tell('device/pump-2/on');

  // The browser is the device.
  await t.api('POST', `/v1/products/${world.product}/devices`, { deviceSN: 'browser-1' });
  await t.open(`/debug/virtual?product=${world.product}&device=browser-1`);
  await t.sees(page.getByRole('button', { name: 'Connect', exact: true }));
  await page.getByLabel('Secret of the device').fill('not the secret');
  await page.getByRole('button', { name: 'Connect', exact: true }).click();
  await t.sees(page.locator('[data-link="lost"]'), 'a wrong secret was let in');
  await page.reload();
  await page.getByRole('button', { name: 'Connect', exact: true }).click();
  await t.sees(page.locator('[data-link="open"]'), 'the browser did not come in');
  await t.sees(page.locator('[data-state="online"]'), 'the hub does not see it online');
  await page.getByRole('button', { name: 'Subscribe' }).click();
  await t.sees(page.locator('[data-subscription]'));
  await t.api('POST', `/v1/products/${world.product}/devices/browser-1/publish`, { topic: 'set', qos: 1, payload: '{"hello":"browser"}' });
  await t.sees(page.locator('[data-way="in"]').getByText('"browser"'), 'nothing came');
  await page.getByLabel('Topic filter').fill(`/$system/${world.product}/browser-1/tmodel/property/post_reply`);
  await page.getByRole('button', { name: 'Subscribe' }).click();
  await t.sees(page.locator('[data-subscription]').nth(1));
  await page.getByRole('textbox', { name: 'Topic', exact: true }).fill(`/$system/${world.product}/browser-1/tmodel/property/post`);
  await page.getByRole('textbox', { name: 'Payload' }).fill('{"RequestID":"1","Property":{"pressure":{"Value":3.5}}}');
  await page.getByRole('button', { name: 'Send', exact: true }).click();
  await t.sees(page.locator('[data-way="out"]'));
  await t.sees(page.locator('[data-way="in"]').getByText('post_reply'), 'the hub’s answer');
  const told = await t.api('GET', `/v1/products/${world.product}/devices/browser-1/properties`);
  t.same(told.property.pressure.value, 3.5, 'what the hub has of the browser');
  await t.accessible('virtual');
  await t.shot('virtual');
  await page.getByRole('button', { name: 'Disconnect' }).click();
  await t.sees(page.locator('[data-state="offline"]'));
  await t.inBoth(async (l) => {
    await t.sees(page.getByRole('button', { name: l === 'zh' ? '连接' : 'Connect', exact: true }));
    await t.shot(`away-${l}`);
  });
  await t.colours('dark');
  await t.sees(page.getByRole('button', { name: 'Connect', exact: true }));
  await t.accessible('dark');
  await t.colours('light');
}
