// What a device says and is told: properties with a chart, events, commands by a form, the shadow, the log, and what it logs in with.
export default async function (t) {
  const { page, world } = t;
  await t.open(`/devices/${world.product}/pump-2`);
  const tab = async (name, zh) => {
    await t.language('zh');
    await page.getByRole('tab', { name: zh, exact: true }).click();
    await t.sees(page.getByRole('tab', { name: zh, exact: true, selected: true }));
    await t.language('en');
    if (!page.url().includes(`/pump-2/${name}`)) throw new Error(`the tab is not in the address: ${page.url()}`);
  };

  await tab('properties', '属性');
  const value = page.locator('[data-property="pressure"]');
  await t.sees(value.getByText('bar'));
  const before = await value.textContent();
  await page.waitForFunction((b) => document.querySelector('[data-property="pressure"]')?.textContent !== b, before);
  await t.sees(page.locator('[data-property="label"]').getByText(world.script));
  await t.sees(page.locator('.uplot canvas'));
  await t.accessible('properties');
  await t.shot('properties');
  await page.getByRole('button', { name: 'Set Label' }).click();
  await page.getByRole('dialog').getByLabel('Label').fill('front');
  await t.accessible('set');
  await page.getByRole('dialog').getByRole('button', { name: 'Set', exact: true }).click();
  await t.sees(page.getByText('The device has taken it'));

  await tab('events', '事件');
  await t.sees(page.getByText('Leak'));
  await t.sees(page.getByText('<img src=x onerror='));
  await t.accessible('events');
  await t.shot('events');

  await tab('commands', '命令');
  await page.getByRole('button', { name: 'Call a command' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Seconds').fill('900');
  await t.sees(dialog.getByText('Must be 1 to 600'));
  await dialog.getByLabel('Seconds').fill('30');
  await dialog.getByLabel('Note').fill('<b>x</b>');
  await t.accessible('command');
  await dialog.getByRole('button', { name: 'Call', exact: true }).click();
  await t.sees(dialog.locator('[data-outcome="succeeded"]'));
  await t.sees(dialog.getByText('15', { exact: true }));
  await t.shot('command');
  await page.keyboard.press('Escape');
  await t.sees(page.locator('[data-status="succeeded"]'));

  await tab('shadow', '影子');
  await t.sees(page.locator('[data-side="Reported"]').getByText('"1.2.3"'));
  // What is desired of a device that is away stays, so that it can be changed by two at once.
  await t.open(`/devices/${world.product}/script-1/shadow`);
  await page.getByRole('button', { name: 'Change desired' }).click();
  const editor = page.locator('.cm-content');
  await editor.click();
  await page.keyboard.press('Control+A');
  await page.keyboard.insertText('{"interval": 5}');
  // Somebody else is faster.
  await t.api('PATCH', `/v1/products/${world.product}/devices/script-1/shadow`, { desired: { speed: 3 } });
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await t.sees(page.locator('[data-conflict]'));
  await t.accessible('conflict');
  await t.shot('conflict');
  await page.getByRole('button', { name: 'Save mine' }).click();
  await t.sees(page.getByText('The shadow is changed'));
  const { state } = await t.api('GET', `/v1/products/${world.product}/devices/script-1/shadow`);
  t.same(state.desired.speed ?? null, null, 'what was overwritten');
  await t.shot('shadow');
  await t.open(`/devices/${world.product}/pump-2/shadow`);

  await tab('log', '日志');
  await t.sees(page.locator('[data-list="messages"] tbody tr'));
  await page.getByRole('button', { name: 'Follow live' }).click();
  await t.sees(page.locator('[data-list="tail"] tbody tr'), 'nothing comes live');
  await page.getByRole('button', { name: 'Pause' }).click();
  await t.sees(page.locator('[data-stream="paused"]'));
  await t.accessible('log');
  await t.shot('log');
  await page.getByRole('button', { name: 'Stop following' }).click();
  await page.locator('[data-list="messages"] tbody a.row-link').first().click();
  await t.sees(page.getByRole('heading', { level: 1, name: /^Message \d+$/ }));
  await t.accessible('trace');
  await t.shot('trace');
  await page.goBack();

  await tab('credentials', '凭据');
  await page.getByRole('button', { name: 'Issue a certificate' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Issue a certificate' }).click();
  const [key] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Save the key' }).click()]);
  t.same(key.suggestedFilename(), 'pump-2.key.pem', 'the name of the file');
  await page.keyboard.press('Escape');
  await t.sees(page.getByRole('cell', { name: 'valid' }));
  await t.accessible('credentials');
  await t.shot('credentials');

  for (const [name, zh] of [['files', '文件'], ['topology', '子设备'], ['connections', '连接记录']]) {
    await tab(name, zh);
    await t.accessible(name);
  }
  await t.sees(page.getByText('login'));
  t.same(await page.evaluate(() => globalThis.pwned ?? null), null, 'a script of a device ran');
}
