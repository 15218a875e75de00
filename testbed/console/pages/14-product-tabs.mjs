// A product to the full: its thing model as a form, as JSON and compared, published and back; topics; a parse script tried on bytes; limits.
export default async function (t) {
  const { page } = t;
  const { productSN: sn } = await t.api('POST', '/v1/products', { name: 'Meter' });
  await t.open(`/products/${sn}/model`);

  // A property by the form.
  await page.getByRole('button', { name: 'Add: Properties' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Identifier').fill('level');
  await dialog.getByLabel('Name').fill('Level');
  await dialog.getByLabel('Least').fill('0');
  await dialog.getByLabel('Most').fill('10');
  await dialog.getByLabel('Unit').fill('m');
  await t.accessible('a property');
  await t.shot('property');
  await dialog.getByRole('button', { name: 'Take over' }).click();
  await t.sees(page.getByText('There are changes that are not saved'));
  await page.getByRole('button', { name: 'Save the thing model' }).click();
  await t.sees(page.getByText('Devices use it from now on'));
  await t.inBoth(async (l) => {
    await t.sees(page.getByText(l === 'zh' ? '标识符' : 'Identifier'));
    await t.accessible(`model ${l}`);
  });
  await t.shot('model');

  // Published it is frozen; a change afterwards is compared with the version.
  await page.getByRole('button', { name: 'Publish' }).click();
  await page.getByRole('dialog').getByLabel('What the version is about').fill('first series');
  await page.getByRole('dialog').getByRole('button', { name: 'Publish' }).click();
  await t.sees(page.getByText('its thing model is frozen'));
  await page.getByRole('button', { name: 'Unpublish' }).click();
  await t.sees(page.getByRole('button', { name: 'Publish', exact: true }));
  await page.getByText('JSON', { exact: true }).click();
  await page.locator('.cm-content').click();
  await page.keyboard.press('Control+A');
  await page.keyboard.insertText(JSON.stringify({ Property: [{ Identifier: 'level', Name: 'Level', AccessMode: 'r', DataType: { Type: 'float64', Spec: { Min: 0, Max: 5, UnitName: 'm' } } }], Event: [], Command: [] }));
  await page.getByRole('button', { name: 'Save the thing model' }).click();
  await t.sees(page.getByText('Devices use it from now on'));
  await page.getByText('Difference', { exact: true }).click();
  await t.sees(page.locator('[data-list="changes"]').getByText('property level'));
  await t.sees(page.getByText('breaks'));
  await t.accessible('diff');
  await t.shot('diff');
  await page.getByText('Versions', { exact: true }).click();
  await t.sees(page.getByText('first series'));

  // Exported and brought in again, first to try.
  await page.getByRole('button', { name: 'Export', exact: true }).click();
  const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('menuitem', { name: 'wot' }).click()]);
  await page.getByRole('button', { name: 'Import', exact: true }).click();
  await page.getByRole('dialog').locator('input[type=file]').setInputFiles(await file.path());
  await page.getByRole('dialog').getByRole('button', { name: 'Try it' }).click();
  await t.sees(page.getByRole('dialog').getByText('No difference'));
  await page.keyboard.press('Escape');

  await page.getByRole('tab', { name: 'Topics' }).click();
  const rows = page.locator('tbody tr');
  await page.getByRole('button', { name: 'Add a topic' }).click();
  await rows.last().getByLabel('Path').fill('raw/up');
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await t.sees(page.getByText('The topics are saved'));
  await t.accessible('topics');

  await page.getByRole('tab', { name: 'Parse script' }).click();
  await page.locator('.cm-content').click();
  await page.keyboard.press('Control+A');
  await page.keyboard.insertText('function rawDataToJSON(topic, raw) { return {first: raw[0], many: raw.length} }');
  await page.getByLabel('Payload', { exact: true }).fill('07 08 09');
  await page.getByRole('button', { name: 'Try', exact: true }).click();
  await t.sees(page.locator('[data-outcome="ok"]').getByText('7', { exact: true }));
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await t.sees(page.getByText('The next message goes through it'));
  await t.accessible('script');
  await t.shot('script');

  await page.getByRole('tab', { name: 'Limits' }).click();
  await page.getByLabel('Days of property history').fill('30');
  await t.accessible('limits');
  await t.shot('limits');
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await t.sees(page.getByText('Saved'));
  t.same((await t.api('GET', `/v1/products/${sn}`)).settings.historyDays, 30, 'days of history');
}
