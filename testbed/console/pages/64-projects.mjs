// Another project: what is in it is shown, and nothing of the one before; a member of one project sees no other.
export default async function (t) {
  const tag = Date.now().toString(36);
  const project = `plant-${tag}`;
  await t.api('POST', '/v1/projects', { id: project, name: `Plant ${tag}` });
  const answer = await fetch(`${t.hub}/v1/products`, { method: 'POST', headers: { Authorization: `Bearer ${t.key}`, 'Content-Type': 'application/json', 'X-Hawser-Project': project }, body: JSON.stringify({ name: `Mixer ${tag}` }) });
  t.same(answer.status, 201, 'a product of the other project');
  const { page } = t;
  await t.open('/products');
  await t.sees(page.getByText('Pump', { exact: true }));
  await page.locator('input[aria-label="Project"]').click();
  await page.getByRole('option', { name: `Plant ${tag}` }).click();
  await page.waitForURL(`**/console/${project}/products`);
  await t.sees(page.getByText(`Mixer ${tag}`));
  t.same(await page.getByText('Pump', { exact: true }).count(), 0, 'products of the project before');
  await page.goBack();
  await t.sees(page.getByText('Pump', { exact: true }));

  const login = `pat-${tag}`;
  await t.member(login, 'ten or more bytes', 'operator', project);
  const own = await t.stranger();
  await own.goto(`${t.hub}/console/default/products`);
  await t.enter(own, login, 'ten or more bytes');
  await own.waitForURL(`**/console/${project}/**`);
  await own.goto(`${t.hub}/console/${project}/products`);
  await t.sees(own.getByText(`Mixer ${tag}`));
  t.same(await own.getByText('Pump', { exact: true }).count(), 0, "another project's products");
}
