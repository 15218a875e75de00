// A connector: made by the form of its kind, tested, used, changed without its secret coming back, and kept while a rule uses it.
export default async function (t) {
  const { page, world } = t;
  const dialog = page.getByRole('dialog');
  await t.open('/connectors');
  await t.inBoth(async (l) => {
    await t.sees(t.heading(l === 'zh' ? '连接器' : 'Connectors'));
    await t.accessible(l);
  });
  await page.getByRole('link', { name: 'Create connector' }).click();
  await t.sees(t.heading('Create connector'));
  await page.getByRole('textbox', { name: 'Name', exact: true }).fill('erp');
  // What the form wants is said before the hub is asked.
  await page.getByRole('button', { name: 'Test connection' }).click();
  await t.sees(page.getByText('Required'));
  await page.getByLabel('Base URL (url)').fill(`${t.control}/hook/401`);
  await page.getByLabel('Bearer token (token)').fill('a-very-secret-token');
  await page.getByRole('button', { name: 'Test connection' }).click();
  await t.sees(page.locator('[data-test="failed"]'), 'a target that refuses the login passed');
  await page.locator('[data-test]').scrollIntoViewIfNeeded();
  await t.accessible('failed test');
  await t.shot('test-failed');
  await page.getByLabel('Base URL (url)').fill(`${t.control}/hook/200`);
  await page.getByRole('button', { name: 'Test connection' }).click();
  await t.sees(page.locator('[data-test="ok"]'));
  await page.getByRole('button', { name: 'Create connector' }).click();
  await t.sees(t.heading('erp'));
  const id = page.url().split('/').pop();

  // The secret is set and never shown.
  await t.sees(page.getByLabel('Remove token'));
  t.same((await page.content()).includes('a-very-secret-token'), false, 'the secret is in the page');

  // Where it is used, and how it is doing.
  const rule = await t.api('POST', '/v1/rules', { name: 'to erp', enabled: true, sql: `SELECT deviceSN() AS d FROM /$system/${world.product}/+/tmodel/property/post`, actions: [{ kind: 'http', connector: id, path: '/x' }] });
  await t.open(`/connectors/${id}`);
  await t.sees(page.getByRole('link', { name: 'to erp' }));
  await t.until('the connector is used', async () => (await t.api('GET', `/v1/connectors/${id}`)).status.state !== 'unused');
  await page.reload();
  await t.inBoth(async (l) => {
    await t.sees(page.locator('h1 ~ [data-health]:not([data-health="unused"])'));
    await t.sees(page.getByText(l === 'zh' ? '已设置的密钥' : 'Secrets that are set').first());
    await t.accessible(`one ${l}`);
    await t.shot(`one-${l}`);
  });
  await page.getByRole('button', { name: 'Delete' }).click();
  await dialog.getByLabel('Type erp to confirm').fill('erp');
  await dialog.getByRole('button', { name: 'Delete' }).click();
  await t.sees(page.getByText(/to erp/), 'no word of the rule that uses it');

  await t.open('/connectors');
  await t.sees(page.getByRole('link', { name: 'erp' }));
  await t.sees(page.getByText('1 rule', { exact: true }));
  await t.inBoth(async (l) => {
    await t.sees(page.getByRole('link', { name: 'erp' }));
    await t.accessible(`list ${l}`);
    await t.shot(`list-${l}`);
  });
  await t.api('DELETE', `/v1/rules/${rule.id}`);
  // Another kind has another form, and the address can name it.
  await t.open('/connectors/new?kind=postgres');
  await t.sees(page.getByLabel('Host (host)'));
  await t.sees(page.getByLabel('Password (password)'));
  await t.colours('dark');
  await t.sees(page.getByLabel('Host (host)'));
  await t.accessible('dark');
  await t.shot('postgres-dark');
  await t.colours('light');

  await t.open('/connectors');
  await page.locator('[data-list="connectors"] tbody').getByRole('checkbox').first().check();
  await page.getByRole('button', { name: 'Test connection' }).click();
  await t.sees(page.getByText('1 done'));
  await page.locator('[data-list="connectors"] tbody').getByRole('checkbox').first().check();
  await page.getByRole('button', { name: 'Delete' }).click();
  await dialog.getByLabel('Type 1 to confirm').fill('1');
  await dialog.getByRole('button', { name: 'Delete' }).click();
  await t.sees(page.getByText('No connectors yet', { exact: false }));
}
