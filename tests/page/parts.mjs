// Every part of the page, used with the mouse: roles and names are those that assistive technology relies on.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { api, asking, open, total, until, withPage } from './browser.mjs';

const number = (text) => Number(text.match(/[\d,]+/)[0].replaceAll(',', ''));

const region = (page, name) => page.getByRole('region', { name, exact: true });

// A question that is wrong is answered with 400, and there are no values of a field that does not exist.
await withPage({ errors: /status of 400|fields.actor\.mail.values/ }, async (page) => {
  await open(page);

  // What is shown at first.
  const all = await total(page);
  assert.equal(all, (await api(page, '/v1/count')).count);
  assert.equal(
    await page.getByRole('textbox', { name: 'Zone' }).inputValue(),
    'UTC',
    'whatever the zone of the browser',
  );
  const names = await region(page, 'Facets')
    .getByRole('group')
    .evaluateAll((groups) => groups.map((group) => group.getAttribute('aria-label')));
  assert.deepEqual(names, ['action.type', 'action.result', 'actor.email', 'actor.ip_address', 'resource.product']);
  const emails = await page.getByRole('group', { name: 'actor.email' }).getByRole('listitem').count();
  assert.equal(emails, 10);
  const coverage = await region(page, 'Coverage').textContent();
  assert.match(coverage, /complete|settling/);

  // A query that is wrong: where, and why. The list stays.
  const query = page.getByRole('combobox', { name: 'Query' });
  await query.fill('action.type:delete actor.mail:x');
  await query.press('Enter');
  await page.getByText('did you mean').waitFor();
  assert.equal(await query.getAttribute('aria-invalid'), 'true');
  assert.match(await page.locator(`#${await query.getAttribute('aria-describedby')}`).textContent(), /actor\.mail/);
  assert.equal(await page.locator('.behind .wrong').first().textContent(), 'actor.mail');

  // Chips: excluded, switched off and on, removed. The others stay as typed.
  await query.fill('action.type:delete  AND resource.product:(dns OR zones)');
  await asking(page, () => query.press('Enter'));
  const chips = page.getByRole('list', { name: 'Filters' });
  assert.equal(await chips.getByRole('listitem').count(), 2);
  const both = await total(page);
  await asking(page, () => chips.getByRole('switch', { name: 'Active action.type:delete' }).click());
  assert.equal(await query.inputValue(), 'resource.product:(dns OR zones)');
  await asking(page, () => chips.getByRole('switch', { name: 'Active action.type:delete' }).click());
  assert.equal(await total(page), both);
  await asking(page, () => chips.getByRole('button', { name: 'Exclude action.type:delete' }).click());
  assert.match(await query.inputValue(), /-action\.type:delete/);
  await asking(page, () => chips.getByRole('button', { name: 'Remove -action.type:delete' }).click());
  assert.equal(await query.inputValue(), 'resource.product:(dns OR zones)');
  await asking(page, () => chips.getByRole('button', { name: /^Remove resource/ }).click());
  assert.equal(await total(page), all);

  // Facets: several values of one field, with the counts of the others; exclude; rarest first; search; another field.
  const types = page.getByRole('group', { name: 'action.type' });
  const told = await types
    .getByRole('button', { name: /^(create|delete) / })
    .evaluateAll((buttons) => buttons.map((button) => button.getAttribute('aria-label')));
  await asking(page, () => types.getByRole('button', { name: /^create / }).click());
  assert.deepEqual(
    await types
      .getByRole('button', { name: /^(create|delete) / })
      .evaluateAll((buttons) => buttons.map((button) => button.getAttribute('aria-label'))),
    told,
  );
  await asking(page, () => types.getByRole('button', { name: /^delete / }).click());
  assert.equal(
    await total(page),
    told.map(number).reduce((a, b) => a + b),
  );
  assert.equal(await query.inputValue(), 'action.type:(create OR delete)');
  await asking(page, () => types.getByRole('button', { name: 'Exclude update' }).click());
  assert.match(await query.inputValue(), /-action\.type:update/);
  await asking(page, async () => {
    await query.fill('');
    await query.press('Enter');
  });
  const addresses = page.getByRole('group', { name: 'actor.ip_address' });
  await addresses.getByRole('button', { name: 'Rarest first' }).click();
  const rarest = (await api(page, '/v1/fields/actor.ip_address/values?sort=rare&size=1')).values[0];
  await addresses.getByRole('button', { name: `${rarest.label} ${rarest.count}`, exact: true }).waitFor();
  const products = page.getByRole('group', { name: 'resource.product' });
  await products.getByRole('searchbox').fill('dn');
  await until('the search has its values', async () =>
    (await products.locator('.value').allTextContents()).every((text) => text.includes('dn')),
  );
  await region(page, 'Facets').getByRole('textbox', { name: 'Add facet' }).fill('actor.context');
  await asking(page, () => page.keyboard.press('Enter'));
  const contexts = page.getByRole('group', { name: 'actor.context' });
  assert.ok((await contexts.getByRole('listitem').count()) > 1);
  assert.match(page.url(), /facets=action\.type,.*actor\.context/);
  await asking(page, () => contexts.getByRole('button', { name: 'Remove facet actor.context' }).click());

  // The histogram: split, as a table, brushed by the mouse.
  await asking(page, () => page.getByRole('combobox', { name: 'Split by' }).selectOption('action.type'));
  await page.getByText('Table', { exact: true }).click();
  await page.locator('.table tbody tr').first().waitFor();
  const sum = await page
    .locator('.table tbody tr')
    .evaluateAll((rows) =>
      rows.map((row) => Number(row.children[1].textContent.replaceAll(',', ''))).reduce((a, b) => a + b),
    );
  assert.equal(sum, await total(page), 'the table has every event');
  await page.evaluate(() => scrollTo(0, 0));
  const plot = await page.getByRole('slider', { name: 'Range of time' }).boundingBox();
  await page.mouse.move(plot.x + plot.width * 0.25, plot.y + 20);
  await page.mouse.down();
  await page.mouse.move(plot.x + plot.width * 0.75, plot.y + 20, { steps: 4 });
  await asking(page, () => page.mouse.up());
  const part = await total(page);
  assert.ok(part > 0 && part < all);
  await asking(page, () => page.getByRole('button', { name: 'Zoom out' }).click());
  assert.equal(await total(page), all);

  // Time and zone stay as typed.
  await page.getByRole('textbox', { name: 'Since' }).fill('now-7d');
  await asking(page, () => page.getByRole('textbox', { name: 'Since' }).press('Enter'));
  assert.match(page.url(), /since=now-7d/);
  await page.getByRole('textbox', { name: 'Since' }).fill('yesterdayish');
  await page.getByRole('textbox', { name: 'Since' }).press('Enter');
  await until(
    'the wrong time is marked',
    async () => (await page.getByRole('textbox', { name: 'Since' }).getAttribute('aria-invalid')) === 'true',
  );
  await page.getByRole('textbox', { name: 'Since' }).fill('');
  await page.getByRole('textbox', { name: 'Zone' }).fill('Europe/Berlin');
  await asking(page, () => page.getByRole('textbox', { name: 'Zone' }).press('Enter'));
  assert.match(page.url(), /tz=Europe\/Berlin/);

  // Coverage of one source.
  const source = page.getByRole('combobox', { name: 'Source' });
  const one = await source.locator('option').nth(1).getAttribute('value');
  const asked = page.waitForResponse(
    (answer) => answer.url().includes('/v1/coverage') && answer.url().includes(encodeURIComponent(one)),
  );
  await source.selectOption(one);
  assert.equal((await (await asked).json()).sources.length, 1);

  // Columns, in the address.
  await page.getByRole('button', { name: 'Columns' }).click();
  const columns = page.getByRole('dialog', { name: 'Columns' });
  await columns.getByRole('textbox', { name: 'Add column' }).fill('actor.ip_address');
  await asking(page, () => columns.getByRole('button', { name: 'Add', exact: true }).click());
  await asking(page, () => columns.getByRole('button', { name: 'Remove Account' }).click());
  await asking(page, () => columns.getByRole('button', { name: 'Move Summary up' }).click());
  await columns.getByRole('button', { name: 'Close' }).click();
  const heads = await page.getByRole('grid', { name: 'Events' }).getByRole('columnheader').allTextContents();
  assert.deepEqual(heads, ['Time', 'Summary', 'Actor', 'actor.ip_address']);
  assert.match(page.url(), /cols=time,summary,actor,actor\.ip_address/);
  await page.reload();
  await page.locator('.row[data-seq]').first().waitFor();
  assert.deepEqual(await page.getByRole('grid', { name: 'Events' }).getByRole('columnheader').allTextContents(), heads);

  // The order.
  const newest = await page.locator('.row[data-seq]').first().getAttribute('data-seq');
  await asking(page, () => page.getByRole('columnheader', { name: 'Time' }).getByRole('button').click());
  assert.match(page.url(), /order=asc/);
  assert.equal(
    await page.locator('.row[data-seq]').first().getAttribute('data-seq'),
    String((await api(page, '/v1/events?order=asc&limit=1')).events[0].seq),
  );
  await asking(page, () => page.getByRole('columnheader', { name: 'Time' }).getByRole('button').click());
  assert.equal(await page.locator('.row[data-seq]').first().getAttribute('data-seq'), newest);

  // Matches are marked.
  await asking(page, async () => {
    await query.fill('delete');
    await query.press('Enter');
  });
  assert.match((await page.locator('.row mark').first().textContent()).toLowerCase(), /delete/);

  // Saved searches.
  await page.getByRole('button', { name: 'Save' }).click();
  const saved = page.getByRole('dialog', { name: 'Saved searches' });
  await saved.getByRole('textbox', { name: 'Name' }).fill('Deletions <b>');
  await saved.getByRole('button', { name: 'Save this search' }).click();
  await saved.getByRole('button', { name: 'Deletions <b>', exact: true }).waitFor();
  await saved.getByRole('button', { name: 'Close' }).click();
  const kept = page.url();
  await open(page);
  await page.getByRole('button', { name: 'Save' }).click();
  await asking(page, () => saved.getByRole('button', { name: 'Deletions <b>', exact: true }).click());
  assert.equal(page.url(), kept);
  await page.getByRole('button', { name: 'Save' }).click();
  await saved.getByRole('button', { name: 'Delete Deletions <b>' }).click();
  await until('it is deleted', async () => (await saved.getByRole('listitem').count()) === 0);
  await saved.getByRole('button', { name: 'Close' }).click();

  // Export: exactly what is listed.
  await page.getByRole('button', { name: 'Export' }).click();
  const download = page.waitForEvent('download');
  await page.getByRole('link', { name: /^NDJSON/ }).click();
  const lines = readFileSync(await (await download).path(), 'utf8')
    .trim()
    .split('\n');
  assert.equal(lines.length, await total(page));
  await page.keyboard.press('Escape');

  // Sources, and the log of one.
  await page.getByRole('link', { name: 'Sources' }).click();
  await page.getByRole('heading', { name: /^Sources/ }).waitFor();
  await page.getByRole('group', { name: 'All sources' }).getByRole('row').nth(1).waitFor();
  assert.equal(
    (await page.getByRole('group', { name: 'All sources' }).getByRole('row').count()) - 1,
    (await api(page, '/v1/sources')).sources.length,
  );
  const log = page.getByRole('group', { name: 'All sources' }).getByRole('row').nth(1);
  const events = number(await log.locator('.num').textContent());
  await log.getByRole('link').click();
  await page.locator('.row[data-seq]').first().waitFor();
  assert.ok((await total(page)) >= events);
});
