// A rule from its first word to its dead letters: made, tried, run, watched, given up, delivered again.
export default async function (t) {
  const { page, world } = t;
  await t.open('/rules');
  await t.inBoth(async (l) => {
    await t.sees(t.heading(l === 'zh' ? '规则' : 'Rules'));
    await t.accessible(l);
  });

  // A rule that the hub does not take, with the reason beside it.
  await page.getByRole('link', { name: 'Create rule' }).click();
  await t.sees(t.heading('Create rule'));
  await page.getByRole('textbox', { name: 'Name', exact: true }).fill('pressure high');
  await write(t, `SELECT deviceSN() AS device, nothing FORM /x`);
  await page.getByRole('button', { name: 'Create rule' }).click();
  await t.sees(page.locator('[data-fault]'), 'no word of what is wrong with the query');
  await t.accessible('refused');

  // The editor knows the thing model and the functions.
  const model = page.waitForResponse((r) => r.url().includes('/thing-model'));
  await write(t, `SELECT deviceSN() AS device, Property.pressure.Value AS pressure\nFROM /$system/${world.product}/+/tmodel/property/post\nWHERE Property.pr`);
  await model;
  await page.keyboard.press('Control+Space');
  await t.sees(page.locator('.cm-tooltip-autocomplete').getByText('Property.pressure.Value'), 'no field of the thing model is suggested');
  await t.shot('completion');
  await page.keyboard.press('Escape');
  await write(t, `SELECT deviceSN() AS device, Property.pressure.Value AS pressure\nFROM /$system/${world.product}/+/tmodel/property/post\nWHERE Property.pressure.Value > 1`);

  // An action by its form.
  await page.getByRole('button', { name: 'Add action' }).click();
  await choose(t, page.getByRole('group', { name: 'Action 1' }).getByLabel('Kind'), 'HTTP');
  await page.getByLabel('URL, without a connector (url)').fill(`${t.control}/hook/400`);
  await t.accessible('action');

  // Tried on a message that is typed, stage by stage.
  await page.getByRole('textbox', { name: 'Topic', exact: true }).fill(`/$system/${world.product}/pump-1/tmodel/property/post`);
  await page.getByRole('textbox', { name: 'Payload', exact: true }).fill('{"RequestID":"1","Property":{"pressure":{"Value":0.5}}}');
  await page.getByRole('button', { name: 'Try', exact: true }).click();
  await t.sees(page.locator('[data-outcome="where"]'), 'it should have ended at WHERE');
  await page.getByRole('textbox', { name: 'Payload', exact: true }).fill('{"RequestID":"1","Property":{"pressure":{"Value":7.5}}}');
  await page.getByRole('button', { name: 'Try', exact: true }).click();
  await t.sees(page.locator('[data-outcome="actions"]'));
  await t.sees(page.locator('[data-result]').getByText('/hook/400').first(), 'where to is not shown');
  // And on a live one.
  await page.getByText('The next live message', { exact: true }).click();
  await choose(t, page.getByRole('combobox', { name: 'Product' }), 'Pump');
  await page.getByRole('button', { name: 'Try', exact: true }).click();
  await t.sees(page.locator('[data-outcome="actions"]'));
  await t.sees(page.locator('[data-outcome="actions"]').getByText(/pump-\d/).first(), 'no live message');
  await t.accessible('tried');
  await page.locator('[data-outcome]').scrollIntoViewIfNeeded();
  await t.shot('tried');
  await page.evaluate(() => scrollTo(0, 0));
  await t.shot('editor');

  await page.getByRole('button', { name: 'Create rule' }).click();
  await t.sees(t.heading('pressure high'));
  await page.getByRole('button', { name: 'Enable' }).click();
  await t.sees(page.locator('h1 ~ [data-rule-state="on"]'));
  const id = page.url().split('/').pop();

  // The counters follow, and what the target refuses becomes dead letters.
  await page.getByRole('tab', { name: 'Metrics' }).click();
  await page.waitForFunction(() => Number(document.querySelector('[data-number="Dead letters"]')?.textContent) > 2);
  await page.waitForFunction(() => Number(document.querySelector('[data-spark]')?.getAttribute('data-spark')) > 4);
  await t.inBoth(async (l) => {
    await t.sees(page.getByText(l === 'zh' ? '命中' : 'Matched').first());
    await t.accessible(`metrics ${l}`);
    await t.shot(`metrics-${l}`);
  });

  // Dead letters: read one, then all of them are delivered again where the target takes them.
  await page.getByRole('tab', { name: 'Dead letters' }).click();
  await t.sees(page.locator('[data-list="dead-letters"] tbody tr').first());
  await t.accessible('dead letters');
  await t.shot('dead-letters');
  await page.locator('[data-list="dead-letters"] tbody tr a').first().click();
  await t.sees(page.getByRole('heading', { level: 1, name: /Dead letter/ }));
  await t.sees(page.getByText('"pressure"').or(page.getByText('pressure:')).first(), 'the payload is not there');
  // Beside the result there is the message that it was made of, which has the device's words.
  await t.sees(page.locator('[data-origin]').getByText('RequestID'), 'the message is not there');
  await page.getByText('Hex', { exact: true }).first().click();
  await t.sees(page.getByText('000000'));
  await t.accessible('dead letter');
  await t.shot('dead-letter');

  await t.api('POST', `/v1/rules/${id}/disable`);
  const rule = await t.api('GET', `/v1/rules/${id}`);
  rule.actions[0].url = `${t.control}/hook/200`;
  await t.api('PUT', `/v1/rules/${id}`, rule);
  await t.open(`/rules/${id}/dead-letters`);
  await page.locator('[data-list="dead-letters"]').getByLabel('Select', { exact: false }).nth(1).check();
  await page.getByRole('region', { name: '1 selected' }).getByRole('button', { name: 'Deliver again' }).click();
  await t.sees(page.getByText('1 done'));
  // One is deleted.
  await page.locator('[data-list="dead-letters"] tbody tr a').first().click();
  await page.getByRole('button', { name: 'Delete' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await t.sees(page.getByText('Deleted', { exact: true }));
  await t.sees(t.heading('Rules'));
  await t.open(`/rules/${id}/dead-letters`);
  await page.getByRole('button', { name: 'Deliver all again' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Deliver again' }).click();
  await t.sees(page.getByText(/^Job \S+ delivers them again/));
  await t.until('the dead letters are delivered again', async () => (await t.api('GET', `/v1/dead-letters?ruleID=${id}`)).items.length === 0);

  // What goes wrong with messages is kept with a sample.
  rule.sql = `SELECT Property.gone.Value + 1 AS x FROM /$system/${world.product}/+/tmodel/property/post`;
  await t.api('PUT', `/v1/rules/${id}`, rule);
  await t.api('POST', `/v1/rules/${id}/enable`);
  await t.until('a fault is counted', async () => (await t.api('GET', `/v1/rules/${id}/stats`)).faults.length > 0);
  await t.open(`/rules/${id}/failures`);
  await t.sees(page.locator('[data-fault="missing_field"]'));
  await t.accessible('failures');
  await t.shot('failures');

  await t.open('/rules');
  await t.sees(page.getByRole('link', { name: 'pressure high' }));
  await t.inBoth(async (l) => {
    await t.sees(page.getByRole('link', { name: 'pressure high' }));
    await t.accessible(`list ${l}`);
    await t.shot(`list-${l}`);
  });
  await t.colours('dark');
  await t.open(`/rules/${id}`);
  await t.sees(page.locator('.cm-content'));
  await t.accessible('dark');
  await t.shot('dark');
  await t.colours('light');

  // Switched off and deleted from the list.
  await t.open('/rules');
  await page.getByLabel(`Select ${id}`).check();
  await page.getByRole('button', { name: 'Disable' }).click();
  await t.sees(page.locator('[data-rule-state="off"]'));
  await page.getByLabel(`Select ${id}`).check();
  await page.getByRole('button', { name: 'Delete' }).click();
  await page.getByLabel('Type 1 to confirm').fill('1');
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await page.getByRole('link', { name: 'pressure high' }).waitFor({ state: 'detached' });
}

/** write replaces the query in the editor. */
export async function write(t, text) {
  const editor = t.page.locator('.cm-content').first();
  await editor.click();
  await t.page.keyboard.press('Control+A');
  await t.page.keyboard.press('Delete');
  await t.page.keyboard.insertText(text);
}

/** choose takes an option of a select. */
export async function choose(t, select, option) {
  await select.click();
  await t.page.getByRole('option', { name: option, exact: true }).click();
}
