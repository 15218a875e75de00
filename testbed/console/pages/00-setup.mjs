// A hub without users: the first page makes the owner; then out and in again.
export default async function (t) {
  const { page, user } = t;
  await page.goto(`${t.hub}/`);
  await t.sees(t.heading('Set up this hub'));
  await t.inBoth(async (l) => {
    await t.sees(t.heading(l === 'zh' ? '初始设置' : 'Set up this hub'));
    await t.accessible(l);
    await t.shot(l);
  });
  await page.getByLabel('Owner’s API key').fill('hwk_wrong_key');
  await page.getByLabel('Login name').fill(user.login);
  await page.getByLabel('Your name').fill(user.name);
  await page.locator('input[name="password"]').fill(user.password);
  await page.getByLabel('Password again').fill(user.password);
  await page.getByRole('button', { name: 'Create the owner' }).click();
  await t.sees(page.getByText('This is not the owner’s key'));
  await page.getByLabel('Owner’s API key').fill(t.key);
  await page.getByRole('button', { name: 'Create the owner' }).click();
  await t.sees(page.getByRole('navigation', { name: 'Sections' }));

  const cookies = await t.context.cookies();
  const session = cookies.find((c) => c.name === '__Host-hawser_session');
  t.same([session?.httpOnly, session?.secure, session?.sameSite], [true, true, 'Strict'], 'the session cookie');

  await page.getByRole('button', { name: `Account ${user.login}` }).click();
  await page.getByRole('menuitem', { name: 'Log out' }).click();
  await t.sees(t.heading('Log in to Hawser'));
  await t.inBoth(async (l) => {
    await t.sees(t.heading(l === 'zh' ? '登录 Hawser' : 'Log in to Hawser'));
    await t.accessible(`login ${l}`);
    await t.shot(`login-${l}`);
  });
  // A deep link leads to the login, and from there to where it pointed.
  await t.open(`/devices/${t.world.product}/pump-1`);
  await page.getByLabel('Login name').fill(user.login);
  await page.locator('input[name="password"]').fill('not the password');
  await page.getByRole('button', { name: 'Log in', exact: true }).click();
  await t.sees(page.getByText('Login name or password is wrong'));
  await page.locator('input[name="password"]').fill(user.password);
  await page.getByRole('button', { name: 'Log in', exact: true }).click();
  await t.sees(t.heading('pump-1'));
}
