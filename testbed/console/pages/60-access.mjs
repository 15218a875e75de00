// Who may do what: members and their roles, keys, what was changed by whom, and the reader's own sessions.
export default async function (t) {
  const { page } = t;
  const tag = Date.now().toString(36);
  await t.api('POST', '/v1/users', { login: `bob-${tag}`, name: '<b>Bob</b>', password: 'ten or more bytes' });
  await t.open('/access');
  await t.inBoth(async (l) => {
    await t.sees(t.heading(l === 'zh' ? '访问控制' : 'Access'));
    await t.sees(page.getByRole('button', { name: l === 'zh' ? '添加成员' : 'Add member' }));
    await t.sees(page.getByText(l === 'zh' ? '管理整个中枢的用户' : 'Who manages the whole hub has access'), 'an empty list that does not say who has access anyway');
    await t.accessible(l);
    await t.shot(l);
  });

  // A member comes, gets another role, and goes.
  await page.getByRole('button', { name: 'Add member' }).click();
  await page.getByRole('dialog').getByLabel('Login name').fill(`bob-${tag}`);
  await t.accessible('add');
  await page.getByRole('dialog').getByRole('button', { name: 'Add member' }).click();
  await t.sees(page.getByText('<b>Bob</b>'));
  const role = page.locator(`input[aria-label="Role: bob-${tag}"]`);
  await role.click();
  await page.getByRole('option', { name: 'Operator' }).click();
  await t.sees(page.getByText('The role was changed'));
  const member = await t.api('GET', `/v1/projects/default/members/bob-${tag}`);
  t.same(member.role, 'operator', 'role');
  await page.getByRole('button', { name: `Remove: bob-${tag}` }).click();
  await page.getByLabel(`Type bob-${tag} to confirm`).fill(`bob-${tag}`);
  await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click();
  await t.sees(page.getByText('The membership is over'));

  // A key works once it is made, and not when it is revoked.
  await page.getByRole('tab', { name: 'API keys' }).click();
  await page.waitForURL(/access\/keys/);
  await page.getByRole('button', { name: 'Make a key' }).click();
  await page.getByRole('dialog').getByLabel('What it is for').fill(`ci-${tag}`);
  await t.accessible('make');
  await page.getByRole('dialog').getByRole('button', { name: 'Make a key' }).click();
  await t.sees(page.getByText('shown this once'));
  const key = (await page.getByRole('dialog').locator('code').textContent()).trim();
  const ask = () => fetch(`${t.hub}/v1/products`, { headers: { Authorization: `Bearer ${key}` } });
  t.same((await ask()).status, 200, 'a key that was made');
  await page.getByRole('button', { name: 'I have kept it' }).click();
  await t.shot('keys');
  await page.getByRole('button', { name: `Revoke: ci-${tag}` }).click();
  await page.getByLabel(`Type ci-${tag} to confirm`).fill(`ci-${tag}`);
  await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
  await t.sees(page.getByText('The key is revoked'));
  t.same((await ask()).status, 401, 'a key that was revoked');

  // All that is in the log, with what differs.
  await t.open('/access/audit?object=/v1/projects/default/members');
  await t.sees(page.getByText('setMember'));
  await page.getByRole('button', { name: 'Change of setMember' }).first().click();
  await t.sees(page.getByRole('dialog').getByText('operator'));
  await t.accessible('audit');
  await t.shot('audit');
  await page.keyboard.press('Escape');

  await t.open('/access/sessions');
  await t.sees(page.getByText('this one'));
  await t.accessible('sessions');
}
