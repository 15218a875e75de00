// A second factor: the right password alone lets nobody in, a code does once, and a recovery code for who has lost the first.
import { createHmac } from 'node:crypto';

/** totp is the code of RFC 6238 for a base32 secret and a step of 30 s. */
function totp(secret, step) {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  const bits = [...secret.replaceAll('=', '')].map((c) => alphabet.indexOf(c).toString(2).padStart(5, '0')).join('');
  const key = Buffer.from(bits.match(/.{8}/g).map((b) => parseInt(b, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(step));
  const mac = createHmac('sha1', key).update(counter).digest();
  return String((mac.readUInt32BE(mac.at(-1) & 15) & 0x7fffffff) % 1_000_000).padStart(6, '0');
}

export default async function (t) {
  const login = `eve-${Date.now().toString(36)}`;
  const password = 'ten or more bytes';
  await t.member(login, password, 'engineer');
  const own = async (path, body, token) => {
    const answer = await fetch(t.hub + path, { method: 'POST', headers: { 'Content-Type': 'application/json', ...(token && { Authorization: `Bearer ${token}` }) }, body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  };
  const { token } = await own('/v1/login', { login, password });
  const { secret } = await own('/v1/me/totp', { password }, token);
  const step = Math.floor(Date.now() / 30_000);
  const { recoveryCodes } = await own('/v1/me/totp/confirm', { code: totp(secret, step) }, token);

  const page = await t.stranger();
  await page.goto(`${t.hub}/console/default/devices`);
  await t.enter(page, login, password);
  const code = page.getByLabel('Code of your authenticator');
  await t.sees(code, 'nobody asks for the second factor');
  t.same(await page.context().cookies(), [], 'cookies before the second factor');
  await code.fill(totp(secret, step)); // it was used to confirm
  await page.getByRole('button', { name: 'Log in', exact: true }).click();
  await t.sees(page.getByText('The code is wrong or was used before'));
  const next = totp(secret, step + 1);
  await code.fill(`${next.slice(0, 3)} ${next.slice(3)}`);
  await page.getByRole('button', { name: 'Log in', exact: true }).click();
  await t.sees(page.getByRole('heading', { level: 1, name: 'Devices', exact: true }), 'the code lets nobody in');

  const other = await t.stranger();
  await other.goto(`${t.hub}/console/`);
  await t.enter(other, login, password);
  await other.getByRole('button', { name: 'Use a recovery code' }).click();
  await other.getByLabel('Recovery code').fill(recoveryCodes[0]);
  await other.getByRole('button', { name: 'Log in', exact: true }).click();
  await t.sees(other.getByRole('navigation', { name: 'Sections' }), 'a recovery code lets nobody in');
}
