// By keyboard, nothing that is done loses one's place: the focus, the scroll position, the neighbour of the open event.

import assert from 'node:assert/strict';
import { api, asking, open, until, withPage } from './browser.mjs';

const focused = (page) =>
  page.evaluate(() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent);
const openSeq = (page) => new URL(page.url()).searchParams.get('event');
const drawerOf = (page) => page.getByRole('complementary', { name: /^Event \d+$/ });

await withPage({}, async (page) => {
  // Chips.
  await open(page, '?q=action.type:delete+resource.product:dns');
  const chips = page.getByRole('list', { name: 'Filters' });
  await chips.getByRole('switch', { name: 'Active action.type:delete' }).focus();
  await asking(page, () => page.keyboard.press('Space'));
  await until('the switch keeps the focus', async () => (await focused(page)) === 'Active action.type:delete');
  await asking(page, () => page.keyboard.press('Space'));
  await until('the switch keeps the focus', async () => (await focused(page)) === 'Active action.type:delete');
  await chips.getByRole('button', { name: 'Exclude action.type:delete' }).focus();
  await asking(page, () => page.keyboard.press('Enter'));
  await until('the sign keeps the focus', async () => (await focused(page)) === 'Include -action.type:delete');
  await chips.getByRole('button', { name: 'Remove -action.type:delete' }).focus();
  await asking(page, () => page.keyboard.press('Enter'));
  await until('the next chip has the focus', async () => (await focused(page)) === 'Remove resource.product:dns');
  await asking(page, () => page.keyboard.press('Enter'));
  await until('the query has the focus', async () => (await focused(page)) === 'Query');

  // Columns.
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'Columns' }).click();
  await page.getByRole('button', { name: 'Move Summary up' }).focus();
  await asking(page, () => page.keyboard.press('Enter'));
  assert.equal(await focused(page), 'Move Summary up');
  await asking(page, () => page.keyboard.press('Enter'));
  assert.equal(await focused(page), 'Move Summary down', 'it is the first one');
  await page.keyboard.press('Escape');

  // The keys work in the histogram, and the skip link goes to the events.
  await open(page);
  await page.getByRole('slider', { name: 'Range of time' }).focus();
  await page.keyboard.press('/');
  await until('the query has the focus', async () => (await focused(page)) === 'Query');
  await page.getByRole('link', { name: 'Skip to the events' }).focus();
  await page.keyboard.press('Enter');
  await until('a row has the focus', () => page.evaluate(() => document.activeElement.matches('.row[data-index="0"]')));
});

await withPage({}, async (page) => {
  // Another timeline leaves the rest of the drawer as it is, says its limits, and leads to all of it.
  await open(page, '?q=actor.token_id:*');
  await page.locator('.row[data-seq]').first().click();
  const drawer = drawerOf(page);
  const timeline = drawer.getByRole('region', { name: 'Timeline' });
  await drawer.getByText('More values').click();
  const token = await drawer.locator('[data-field="actor.token_id"]').textContent();
  await drawer.getByRole('switch', { name: 'Same token' }).focus();
  await page.keyboard.press('Enter');
  await timeline.getByText(/^Within 30 minutes, at most 10 before and 10 after this event\./).waitFor();
  assert.equal(await focused(page), 'Same token');
  assert.ok(await drawer.locator('details[open]').first().isVisible(), 'what was open stays open');
  assert.ok((await drawer.evaluate((one) => one.scrollTop)) > 0, 'it is not scrolled to its beginning');
  const { count } = await api(page, `/v1/count?q=actor.token_id:"${token}"`);
  const all = timeline.getByRole('button', { name: /events? in all$/ });
  await all.waitFor();
  assert.ok(Number((await all.textContent()).replace(/\D/g, '')) >= count - 20);
  await asking(page, () => all.click());
  assert.match(page.url(), /q=actor\.token_id:/);

  // An event without an actor has no timeline of one, and that is said.
  const { events } = await api(page, '/v1/events?q=-actor.email:*+-actor.id:*&limit=1&fields=action.type');
  await open(page, `?event=${events[0].seq}`);
  await timeline.getByText('This event has no actor.').waitFor();
});

// The neighbour of an event that the list has not come to yet, and the way back from a profile.
for (const order of ['desc', 'asc']) {
  await withPage({}, async (page) => {
    const { events } = await api(page, `/v1/events?limit=1000&order=${order}&fields=action.type`);
    const [before, at, after] = events.slice(700, 703).map(({ seq }) => String(seq));
    await open(page, `?order=${order}&event=${at}`);
    await drawerOf(page).getByRole('heading', { level: 2 }).waitFor();
    await page.keyboard.press(']');
    await until('the next event of the list is open', async () => openSeq(page) === after);
    await page.keyboard.press('[');
    await until('the event is open again', async () => openSeq(page) === at);
    await page.keyboard.press('[');
    await until('the event before it is open', async () => openSeq(page) === before);
  });
}

await withPage({}, async (page) => {
  await open(page);
  await until('the strip is there', () => page.locator('.coverage .legend').textContent());
  await page.evaluate(() => scrollTo(0, 4000));
  await until('the rows there are drawn', () =>
    page.evaluate(() => document.elementFromPoint(600, 500).closest('.row[data-seq]') !== null),
  );
  await page.mouse.click(600, 500);
  const drawer = drawerOf(page);
  await drawer
    .getByRole('button', { name: /^Open profile of/ })
    .first()
    .waitFor();
  const y = await page.evaluate(() => scrollY);
  const seq = openSeq(page);
  await drawer
    .getByRole('button', { name: /^Open profile of/ })
    .first()
    .click();
  await page.getByRole('region', { name: /^Profile of/ }).waitFor();
  await page.goBack();
  await drawer.waitFor();
  await until('the list is where it was', async () => Math.abs((await page.evaluate(() => scrollY)) - y) < 5);
  assert.equal(openSeq(page), seq);
  assert.equal(await page.locator(`.list .row[data-seq="${seq}"]`).getAttribute('aria-selected'), 'true');
});

// The values of a field that is excluded are offered.
await withPage({}, async (page) => {
  await open(page);
  const query = page.getByRole('combobox', { name: 'Query' });
  for (const typed of ['-action.type:', 'dns -action.type:', 'NOT action.type:']) {
    await query.fill(typed);
    await page
      .getByRole('listbox', { name: 'Completions' })
      .getByRole('option', { name: /^update/ })
      .waitFor();
    await query.fill('');
  }
});
