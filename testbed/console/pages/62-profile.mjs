// The reader's own account: password, an authenticator from its QR code to recovery codes and off again, and the sessions.
import { createHmac } from 'node:crypto';

/** totp is the code that an authenticator shows for a secret in base32. */
function totp(secret, at = Date.now()) {
  const bits = [...secret.replace(/=+$/, '')].map((c) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(c).toString(2).padStart(5, '0')).join('');
  const key = Buffer.from(bits.match(/.{8}/g).map((b) => parseInt(b, 2)));
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(at / 30_000)));
  const sum = createHmac('sha1', key).update(step).digest();
  return String((sum.readUInt32BE(sum[19] & 15) & 0x7fffffff) % 1_000_000).padStart(6, '0');
}

export default async function (t) {
  const { page, user } = t;
  const dialog = page.getByRole('dialog');
  await t.open('/devices');
  await page.getByRole('button', { name: `Account ${user.login}` }).click();
  await page.getByRole('menuitem', { name: 'Your account' }).click();
  await page.waitForURL(/\/profile$/);
  await t.inBoth(async (l) => {
    await t.sees(t.heading(l === 'zh' ? '我的账户' : 'Your account'));
    await t.sees(page.locator('[data-list="sessions"]'));
    await t.accessible(l);
    await t.shot(l);
  });

  // The password: a wrong one is refused, and the reader stays logged in.
  const next = 'another horse battery';
  const change = async (from, to) => {
    await page.getByLabel('Present password').fill(from);
    await page.getByLabel('New password', { exact: true }).fill(to);
    await page.getByLabel('New password again').fill(to);
    await page.getByRole('button', { name: 'Change the password' }).click();
  };
  await change('not the password', next);
  await t.sees(page.getByText('The password is wrong'), 'a wrong password passed');
  await change(user.password, next);
  await t.sees(page.getByText('The password is changed; other sessions have ended'));
  await t.sees(page.locator('[data-list="sessions"]').getByText('this one').or(page.locator('[data-list="sessions"] .mantine-Badge-root')));

  // The second factor.
  await page.getByRole('button', { name: 'Set up an authenticator' }).click();
  await dialog.getByLabel('Present password').fill(next);
  await dialog.getByRole('button', { name: 'Next' }).click();
  await t.sees(dialog.getByRole('img', { name: 'QR code for the authenticator' }));
  const secret = (await dialog.getByText(/^[A-Z2-7]{16,}$/).first().textContent()).trim();
  await t.accessible('enrol');
  await t.shot('enrol');
  await dialog.getByLabel('The code that it shows now').fill(totp(secret));
  await dialog.getByRole('button', { name: 'Switch it on' }).click();
  await t.sees(page.locator('[data-recovery]'));
  await t.sees(page.locator('[data-totp="on"]'));
  const codes = (await page.locator('[data-recovery] .mantine-SimpleGrid-root p').allTextContents()).map((c) => c.trim());
  t.same(codes.length >= 8, true, 'recovery codes');
  await t.inBoth((l) => t.accessible(`on ${l}`));
  await t.shot('recovery');
  await page.getByRole('button', { name: 'I have kept them' }).click();

  // Off again with one of them, which is asked for beside the password.
  await page.getByRole('button', { name: 'Switch it off' }).click();
  await dialog.getByLabel('Present password').fill(next);
  await dialog.getByLabel('Code of your authenticator').fill(codes[0]);
  await dialog.getByRole('button', { name: 'Switch it off' }).click();
  await t.sees(page.locator('[data-totp="off"]'));
  await change(next, user.password);
  await t.sees(page.getByText('The password is changed; other sessions have ended'));
  await t.colours('dark');
  await t.accessible('dark');
  await t.shot('dark');
  await t.colours('light');
}
