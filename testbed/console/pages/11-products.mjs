// The list of products, a product, and making one.
export default async function (t) {
  const { page, world } = t;
  await t.open('/products');
  await t.inBoth(async (l) => {
    await t.sees(t.heading(l === 'zh' ? '产品' : 'Products'));
    await t.sees(page.getByRole('link', { name: 'Pump' }));
    await t.accessible(l);
    await t.shot(l);
  });
  await page.getByRole('link', { name: 'Pump' }).click();
  await t.sees(t.heading('Pump'));
  await t.sees(page.getByText(world.product));
  await t.accessible('product');
  await t.shot('product');
  await t.open('/products');
  await page.getByRole('button', { name: 'Create product' }).click();
  await page.getByRole('dialog').getByLabel('Name').fill('Made here');
  await t.accessible('dialog');
  await page.getByRole('dialog').getByRole('button', { name: 'Create product' }).click();
  await t.sees(t.heading('Made here'));
  await page.getByRole('button', { name: 'Delete' }).click();
  await page.getByLabel('Type Made here to confirm').fill('Made here');
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await t.sees(t.heading('Products'));
}
