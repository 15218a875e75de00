// A project whose campaigns want a second approver: the wizard says so, their author is not offered to approve one, and somebody else lets it start.
export default async function (t) {
  const { page } = t;
  const tag = Date.now().toString(36);
  const project = `dual-${tag}`;
  await t.api('POST', '/v1/projects', { id: project, name: `Dual ${tag}` });
  const send = (path, type, body) => fetch(t.hub + path, { method: 'POST', headers: { Authorization: `Bearer ${t.key}`, 'Content-Type': type, 'X-Hawser-Project': project }, body }).then((answer) => answer.json());
  const { productSN } = await send('/v1/products', 'application/json', JSON.stringify({ name: 'Valve' }));
  await t.api('POST', `/v1/products/${productSN}/devices`, { deviceSN: 'valve-of-two' });
  const { firmwareID } = await send(`/v1/products/${productSN}/firmwares?version=2.0`, 'application/octet-stream', 'firmware of the valve');
  const other = `bob-${tag}`;
  await t.member(other, 'ten or more bytes', 'admin', project);

  // Who may change the project asks for it; others read it.
  const viewer = `eve-${tag}`;
  await t.member(viewer, 'ten or more bytes', 'viewer', project);
  const reader = await t.stranger();
  await reader.goto(`${t.hub}/console/${project}/access/project`);
  await t.enter(reader, viewer, 'ten or more bytes');
  await t.sees(reader.getByText('Owners and admins of the project can change this.'));
  t.same(await reader.getByRole('button', { name: 'Save' }).count(), 0, 'buttons of a viewer');
  await t.open('/access/project', project);
  await t.inBoth(async (l) => {
    await t.sees(page.getByLabel(l === 'zh' ? '升级活动需要审批' : 'Campaigns want approval'));
    await t.accessible(`project ${l}`);
  });
  await page.getByLabel('Campaigns want approval').check();
  await page.getByLabel('Description').fill('Two of us look at each campaign.');
  await page.getByRole('button', { name: 'Save' }).click();
  await t.sees(page.getByText('The project was changed'));
  const kept = await t.api('GET', `/v1/projects/${project}`);
  t.same([kept.campaignApproval, kept.description, kept.name], [true, 'Two of us look at each campaign.', `Dual ${tag}`], 'the project');
  await t.shot('project');

  // The wizard, from a product that is chosen in it.
  await t.open('/ota/new', project);
  await t.sees(page.getByText('only when somebody else than its author has approved it', { exact: false }), 'no word of the second approver');
  await page.getByRole('combobox', { name: 'Product' }).click();
  await page.getByRole('option', { name: 'Valve' }).click();
  await page.getByRole('combobox', { name: 'Firmware' }).click();
  await page.getByRole('option', { name: 'default 2.0' }).click();
  await t.sees(page.getByText('1 device is a target'));
  await t.accessible('wizard');
  await t.shot('wizard');
  await t.open(`/ota/new?product=${productSN}&firmware=${firmwareID}&step=3`, project);
  await page.getByRole('button', { name: 'Ask for approval' }).click();
  await t.sees(page.locator('[data-status=awaiting_approval]'));
  await t.sees(page.getByText(`somebody else than ${t.user.login}`), 'not who it waits for');
  await t.sees(page.getByRole('button', { name: 'Abort' }));
  t.same(await page.getByRole('button', { name: 'Approve' }).count(), 0, 'what its author is offered');
  await t.accessible('waits');
  await t.shot('waits');

  const second = await t.stranger();
  await second.goto(page.url());
  await t.enter(second, other, 'ten or more bytes');
  await second.getByRole('button', { name: 'Approve' }).click();
  await t.sees(second.locator('[data-status=running]'), 'it does not start');
  await t.sees(page.locator('[data-status=running]'), 'its author does not see it start');
  await t.sees(page.getByText(other), 'not who approved it');
  await t.shot('approved');
}
