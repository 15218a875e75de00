// A signed release: its manifest is held to the root document, its image to the manifest; what others have signed is refused.
export default async function (t) {
  const { page } = t;
  const { productSN } = await t.api('POST', '/v1/products', { name: 'Boiler' });
  const { publicKey } = await t.api('GET', '/v1/director');
  const files = await (await fetch(`${t.control}/release`, { method: 'POST', body: JSON.stringify({ publicKey }) })).json();
  const file = (name, of) => ({ name, mimeType: 'application/octet-stream', buffer: Buffer.from(files[of], 'base64') });
  const root = await fetch(`${t.hub}/v1/products/${productSN}/roots`, { method: 'POST', headers: { Authorization: `Bearer ${t.key}`, 'Content-Type': 'application/octet-stream' }, body: Buffer.from(files.root, 'base64') });
  t.same(root.status, 200, 'the root document');

  await t.open(`/ota/releases?product=${productSN}`);
  const dialog = page.getByRole('dialog');
  const input = dialog.locator('input[type=file]');
  await page.getByRole('button', { name: 'Add firmware' }).click();
  await t.accessible('release');
  await input.setInputFiles(file('foreign.suit', 'foreign'));
  await dialog.getByRole('button', { name: 'Add firmware' }).click();
  await t.sees(page.getByText(/refused/i), 'a foreign signature is not refused');
  await t.shot('refused');

  await input.setInputFiles(file('boiler-3.suit', 'suit'));
  await dialog.getByRole('button', { name: 'Add firmware' }).click();
  await t.sees(dialog.getByText('Image of default'));
  await t.shot('image');

  // The images may follow later.
  await dialog.getByRole('button', { name: 'Cancel' }).click();
  await t.sees(page.locator('[data-release=missing]'));
  await t.inBoth((l) => t.accessible(l));
  await t.shot('missing');
  await page.getByRole('button', { name: 'Send images' }).click();
  await input.setInputFiles(file('wrong.bin', 'suit'));
  await dialog.getByRole('button', { name: 'Add firmware' }).click();
  await t.sees(page.getByText(/HASH|refused/i).first());
  await input.setInputFiles(file('boiler-3.bin', 'image'));
  await dialog.getByRole('button', { name: 'Add firmware' }).click();
  await dialog.waitFor({ state: 'detached' });
  await t.sees(page.locator('[data-list=releases] [data-release=ready]'));
  await t.shot('list');
  await t.open(`/ota/firmware?product=${productSN}`);
  await t.sees(page.locator('[data-list=firmware]').getByText('Signed release'));
}
