// A viewer reads everything and is offered nothing that the hub would refuse.
export default async function (t) {
  const login = `vera-${Date.now().toString(36)}`;
  await t.member(login, 'ten or more bytes', 'viewer');
  const page = await t.stranger();
  await page.goto(`${t.hub}/console/default/devices`);
  await t.enter(page, login, 'ten or more bytes');
  await t.sees(page.getByRole('navigation', { name: 'Sections' }));
  const title = page.getByRole('heading', { level: 1 });
  const product = t.world.product;
  const may = /^(Search|Filter|Columns|Refresh|Clear|Copy|Export|CSV|Previous|Next|Back|More|Follow|Stop|Pause|Show|Hide|Live|Account|Menu|Language|Colours|Log out|Close|Reload|Expand|Collapse|Order|Sort)/i;
  const change = /^(Add|Create|New|Make|Delete|Remove|Revoke|Disable|Enable|Save|Publish|Send|Set|Upload|Register|Start|Invite|Import|Reset|Reveal|Acknowledge|Rename|Edit|Change|Issue|Rotate)\b/i;
  const offered = [];
  let seen = 0;
  for (const path of [
    '/devices', `/devices/${product}/pump-1`, `/devices/${product}/pump-1/shadow`, '/products', `/products/${product}`, '/groups', '/rules', '/connectors', '/alarms/rules', '/ota', '/files', '/access',
  ]) {
    await page.goto(`${t.hub}/console/default${path}`);
    await t.sees(title, `${path} has no title`);
    await page.waitForFunction(() => !document.querySelector('main .mantine-Loader-root, main .mantine-Skeleton-root'));
    const names = await page.locator('main').getByRole('button').or(page.locator('main').getByRole('link')).evaluateAll((all) => all.filter((el) => !el.disabled && el.getAttribute('aria-disabled') !== 'true').map((el) => (el.getAttribute('aria-label') ?? el.textContent).trim()));
    seen += names.length;
    for (const name of names) if (change.test(name) && !may.test(name)) offered.push(`${path}: ${name}`);
  }
  t.same(offered, [], 'what a viewer is offered');
  t.same(seen > 30, true, `buttons and links: ${seen}`);

  // What is not offered is refused too, with the viewer's own session.
  const refused = await page.evaluate(async (sn) => {
    const head = { 'Content-Type': 'application/json', 'X-Hawser-Request': 'console', 'X-Hawser-Project': 'default' };
    const ask = async (method, path, body) => [method, path, (await fetch(path, { method, headers: head, body: body && JSON.stringify(body) })).status];
    return Promise.all([
      ask('POST', '/v1/products', { name: 'x' }),
      ask('DELETE', `/v1/products/${sn}/devices/pump-1`),
      ask('POST', `/v1/products/${sn}/devices/pump-1/disable`),
      ask('POST', `/v1/products/${sn}/devices/pump-1/reveal`),
      ask('PATCH', `/v1/products/${sn}/devices/pump-1/shadow`, { desired: { a: 1 } }),
      ask('POST', '/v1/alarm-rules', { name: 'x', severity: 'minor', condition: { kind: 'presence', productSN: sn } }),
      ask('POST', '/v1/keys', { name: 'x' }),
      ask('POST', '/v1/users', { login: 'mallory' }),
    ]);
  }, product);
  t.same(refused.filter(([, , status]) => status !== 403 && status !== 404), [], 'what a viewer may do');
  t.same(refused.filter(([, , status]) => status === 403).length >= 7, true, `refusals ${JSON.stringify(refused)}`);
}
