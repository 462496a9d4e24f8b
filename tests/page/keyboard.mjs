// By keyboard alone: from a query to a zoom, a facet, an event, its profile, and a copied link that shows the same when it is
// opened again.

import assert from 'node:assert/strict';
import { api, asking, open, total, until, withPage } from './browser.mjs';

const press = (page, ...keys) =>
  keys.reduce((before, key) => before.then(() => page.keyboard.press(key)), Promise.resolve());

/** Presses Tab until the focused element has a name that matches. */
async function tabTo(page, name, key = 'Tab') {
  for (let i = 0; i < 200; i += 1) {
    await page.keyboard.press(key);
    const found = await page.evaluate(
      () => document.activeElement?.getAttribute('aria-label') ?? document.activeElement?.textContent ?? '',
    );
    if (name.test(found)) return;
  }
  assert.fail(`${name} cannot be reached by Tab`);
}

const seqs = (page) => page.locator('.row[data-seq]').evaluateAll((rows) => rows.map((row) => row.dataset.seq));

await withPage({}, async (page, context) => {
  await open(page);
  const all = await total(page);

  // The query, by completion of a field and of a value.
  await press(page, '/');
  const query = page.getByRole('combobox', { name: 'Query' });
  assert.ok(await query.evaluate((input) => input === document.activeElement));
  await page.keyboard.type('action.ty');
  await page.getByRole('listbox', { name: 'Completions' }).getByRole('option', { name: 'action.type' }).waitFor();
  assert.equal(await query.getAttribute('aria-expanded'), 'true');
  await press(page, 'ArrowDown');
  assert.ok(await query.getAttribute('aria-activedescendant'));
  await press(page, 'Enter');
  assert.equal(await query.inputValue(), 'action.type:');
  await page.keyboard.type('dele');
  await page
    .getByRole('listbox', { name: 'Completions' })
    .getByRole('option', { name: /^delete/ })
    .waitFor();
  await press(page, 'ArrowDown', 'Enter');
  assert.equal(await query.inputValue(), 'action.type:delete ');
  await asking(page, () => press(page, 'Enter'));
  const deletes = await total(page);
  assert.ok(deletes > 0 && deletes < all, `${deletes} of ${all}`);
  assert.equal(deletes, (await api(page, '/v1/count?q=action.type:delete')).count);
  assert.match(page.url(), /[?&]q=action\.type:delete/);

  // Escape leaves the line. Then the histogram: the second half of it.
  await press(page, 'Escape');
  await tabTo(page, /^Range of time$/);
  const slider = page.getByRole('slider', { name: 'Range of time' });
  await press(page, 'End', 'Shift+PageDown');
  await until('a range is told', async () => /to .*events?/.test(await slider.getAttribute('aria-valuetext')));
  const told = Number((await slider.getAttribute('aria-valuetext')).match(/: ([\d,]+) event/)[1].replace(',', ''));
  await asking(page, () => press(page, 'Enter'));
  const zoomed = await total(page);
  assert.equal(zoomed, told, 'the zoom has the events that the range had');
  assert.match(page.url(), /since=\d{4}-\d\d-\d\dT[\d:]+Z/);
  assert.match(page.url(), /before=\d{4}-\d\d-\d\dT[\d:]+Z/);
  await asking(page, () => press(page, 'Backspace'));
  assert.equal(await total(page), deletes, 'Backspace returns from the zoom');
  await press(page, 'End', 'Shift+PageDown');
  await asking(page, () => press(page, 'Enter'));
  assert.equal(await total(page), zoomed);

  // A facet.
  await tabTo(page, /^dns [\d,]+$/);
  const product = page.getByRole('group', { name: 'resource.product' }).getByRole('button', { name: /^dns / });
  const counted = Number((await product.getAttribute('aria-label')).split(' ').at(-1).replace(',', ''));
  await asking(page, () => press(page, 'Space'));
  assert.equal(await total(page), counted, 'a facet counts exactly');
  assert.equal(await product.getAttribute('aria-pressed'), 'true');

  // An event, the next one, and back.
  await press(page, 'j', 'o');
  const drawer = page.getByRole('complementary', { name: /^Event \d+$/ });
  await drawer.waitFor();
  const first = await drawer.getAttribute('aria-label');
  await press(page, ']');
  await until('the next event is shown', async () => (await drawer.getAttribute('aria-label')) !== first);
  await press(page, '[');
  await until('the first event is shown again', async () => (await drawer.getAttribute('aria-label')) === first);

  // A copied link shows the same, also in another zone of time.
  await tabTo(page, /^Copy link$/, 'Shift+Tab');
  await press(page, 'Enter');
  await until('a link is copied', () => page.evaluate(() => navigator.clipboard.readText()));
  const link = await page.evaluate(() => navigator.clipboard.readText());
  assert.match(link, /q=action\.type:delete\+resource\.product:dns/);
  const before = { total: await total(page), seqs: await seqs(page), event: first };
  const again = await context.newPage();
  await open(again, link);
  await again.getByRole('complementary', { name: first }).waitFor();
  assert.deepEqual({ total: await total(again), seqs: await seqs(again), event: first }, before);
  await again.close();

  // A profile, from the drawer, and back to the events.
  await page.keyboard.press('Escape');
  await until('the drawer is closed', async () => (await drawer.count()) === 0);
  await press(page, 'o');
  await drawer.waitFor();
  await drawer.locator('[data-field="actor.email"], [data-field="actor.ip_address"]').first().waitFor();
  await tabTo(page, /^Open profile of/);
  await press(page, 'Enter');
  await page
    .getByRole('region', { name: /^Profile of / })
    .getByText('First seen')
    .waitFor();
  await page.goBack();
  await drawer.waitFor();

  // f and x act on the focused value.
  await tabTo(page, /^[\d.:a-f]+$|@/);
  const { field, value } = await page.evaluate(() => ({ ...document.activeElement.dataset }));
  await asking(page, () => press(page, 'x'));
  assert.ok((await query.inputValue()).includes(`-${field}:`), `${field} ${value}`);
  await press(page, '?');
  await page.getByRole('dialog', { name: 'Keys' }).waitFor();
  await press(page, 'Escape');
  assert.equal(await page.getByRole('dialog', { name: 'Keys' }).count(), 0);
});
