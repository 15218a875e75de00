// A telephone: the navigation opens by a button, and nothing is wider than the screen.
export default async function (t) {
  const { page } = t;
  await page.setViewportSize({ width: 390, height: 800 });
  try {
    await t.open('/devices');
    await t.sees(t.heading('Devices'));
    await t.sees(page.getByRole('link', { name: 'pump-1' }));
    await t.shot('list');
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    t.same(wide, 0, 'pixels that stand over');
    await page.getByRole('button', { name: 'Menu' }).click();
    await page.getByRole('link', { name: 'Products' }).click();
    await t.sees(t.heading('Products'));
  } finally {
    await page.setViewportSize({ width: 1280, height: 800 });
  }
}
