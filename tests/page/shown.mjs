// What is shown says what it is: characters that cannot be seen, colours, what a profile rests on, the name of what was deleted.

import assert from 'node:assert/strict';
import { api, asking, open, until, withPage } from './browser.mjs';

const isEvents = (url) => url.pathname === '/v1/events' && !url.searchParams.has('cursor');

// Text that would look like another one.
await withPage({}, async (page) => {
  await page.route(isEvents, async (route) => {
    const answer = await route.fetch();
    const body = await answer.json();
    Object.assign(body.events[0].entry, { actor: { email: '\u202egro.live@eve\n\u200bx' } });
    body.events[0].account_name = '\u202eNIMDA';
    body.events[1].account_name = '👩‍💻 فارسی‌ها';
    body.facets['actor.email'].values[0].label = '\u2067a@b';
    await route.fulfill({ response: answer, json: body });
  });
  await open(page);
  const row = await page.locator('.row[data-seq]').first().textContent();
  assert.match(row, /⟨U\+202E⟩gro\.live@eve⟨U\+000A⟩⟨U\+200B⟩x/);
  assert.match(row, /⟨U\+202E⟩NIMDA/);
  const other = await page.locator('.row[data-seq]').nth(1).textContent();
  assert.match(other, /👩‍💻 فارسی‌ها/u, 'joiners that belong to a picture or a script stay');
  await page.getByRole('group', { name: 'actor.email' }).getByText('⟨U+2067⟩a@b').waitFor();
  await page.unrouteAll({ behavior: 'ignoreErrors' });
});

// Colours and choices have names; a bar says what it stands for; a copied link is confirmed.
await withPage({}, async (page) => {
  await open(page);
  const histogram = page.getByRole('region', { name: 'Histogram' });
  await histogram.locator('.legend').getByText('failure', { exact: true }).waitFor();
  await asking(page, () => page.getByRole('combobox', { name: 'Split by' }).selectOption('action.type'));
  for (const type of ['create', 'update', 'delete'])
    assert.ok(await histogram.locator('.legend').getByText(type).isVisible());
  assert.match(await histogram.locator('title').last().textContent(), /^\d+ \w+ 20\d\d .*: [\d,]+ events?, \w+: \d/);
  for (const name of ['Split by', 'Coverage of']) assert.ok(await page.getByText(name, { exact: true }).isVisible());
  await page.getByRole('button', { name: 'Copy link', exact: true }).click();
  await page.locator('button.done').waitFor();
  assert.ok(await page.getByRole('button', { name: 'Copy link', exact: true }).isVisible());

  // A deleted search comes back.
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  const saved = page.getByRole('dialog', { name: 'Saved searches' });
  await saved.getByRole('textbox', { name: 'Name' }).fill('By type');
  await saved.getByRole('button', { name: 'Save this search' }).click();
  await saved.getByRole('button', { name: 'Delete By type' }).first().click();
  await saved.getByText('Deleted By type.').waitFor();
  await saved.getByRole('button', { name: 'Undo' }).click();
  await saved.getByRole('button', { name: 'By type', exact: true }).click();
  await saved.waitFor({ state: 'detached' });
  assert.match(page.url(), /by=action\.type/);
});

// A profile says how much of the log is proven, and the ends of its chart.
await withPage({}, async (page) => {
  const { facets } = await api(page, '/v1/facets?field=actor.ip_address&size=1');
  await page.goto(new URL(`?view=profile&of=ips/${facets['actor.ip_address'].values[0].value}`, process.argv[2]).href);
  const profile = page.getByRole('region', { name: /^Profile of/ });
  await profile.getByText(/^The log of this time: (complete|settling|not complete|nothing missing)/).waitFor();
  assert.match(await profile.locator('.ends').textContent(), /20\d\d/);
});

// What was deleted has the name that it had last.
await withPage({}, async (page) => {
  const { events } = await api(
    page,
    '/v1/events?q=action.type:delete+resource.product:dns&limit=100&fields=action.type',
  );
  const named = async ({ seq, summary }) => {
    const { removed } = await api(page, `/v1/events/${seq}/diff`);
    const name = removed.find(({ path }) => path === 'name')?.before;
    return name && !summary.includes(name) ? { seq, name } : null;
  };
  let found = null;
  for (const event of events) if (!(found ??= await named(event))) continue;
  assert.ok(found, 'a deleted record has a name');
  await page.goto(new URL(`?event=${found.seq}`, process.argv[2]).href);
  const heading = page.getByRole('complementary', { name: `Event ${found.seq}` }).getByRole('heading', { level: 2 });
  await until('the name is in the heading', async () =>
    (await heading.textContent()).endsWith(`its last name: ${found.name}`),
  );
});

// On a small screen the events begin on the first screens.
await withPage({ width: 320, height: 700, touch: true }, async (page) => {
  await open(page);
  const { y } = await page.locator('.row[data-seq]').first().boundingBox();
  assert.ok(y < 960, `the first event is at ${y} px`);
});
