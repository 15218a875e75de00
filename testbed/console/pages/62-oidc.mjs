// A login through an identity provider on another site: back to where it began, in a session of the hub; and what is said to whom the provider refuses.
export default async function (t) {
  await t.tell('oidc/login', { sub: 'kim-1', email: 'kim@example.com', email_verified: true, name: 'Kim' });
  const page = await t.stranger();
  await page.goto(`${t.hub}/console/default/devices?q=sn%3Apump*`);
  await page.getByRole('button', { name: 'Log in with your organisation' }).click();
  await t.sees(page.getByRole('heading', { level: 1, name: 'Devices', exact: true }), 'the provider let Kim in, the hub does not');
  await t.sees(page.getByText('/ 3'));
  t.same(new URL(page.url()).origin + new URL(page.url()).pathname, `${t.hub}/console/default/devices`, 'where the login ended');
  const cookies = await page.context().cookies();
  t.same(cookies.map((c) => [c.name, c.httpOnly, c.secure, c.sameSite]), [['__Host-hawser_session', true, true, 'Strict']], 'cookies after the login');
  await t.sees(page.getByRole('button', { name: 'Account kim@example.com' }));

  await page.getByRole('button', { name: 'Account kim@example.com' }).click();
  await page.getByRole('menuitem', { name: 'Log out' }).click();
  await t.sees(page.getByRole('heading', { name: 'Log in to Hawser' }));
  t.same(await page.context().cookies(), [], 'cookies after the logout');

  // Somebody else's page cannot be where it ends.
  const to = await page.evaluate(async () => {
    const ask = (returnTo) => fetch('/v1/login/oidc', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ returnTo }) });
    return Promise.all(['//evil.example', 'https://evil.example', '/\\\\evil.example', '/console/'].map(async (path) => (await ask(path)).status));
  });
  t.same(to, [400, 400, 400, 200], 'where a login may lead');
}
