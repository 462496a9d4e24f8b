// A field that does not exist, typed or in a link, costs that field alone; and what a source said when it failed can be read.

import assert from 'node:assert/strict';
import { asking, isAccessible, open, total, until, withPage } from './browser.mjs';

await withPage({ errors: /status of 400/ }, async (page) => {
  await open(page);
  const url = page.url();
  const facets = page.getByRole('region', { name: 'Facets' });
  const add = facets.getByRole('textbox', { name: 'Add facet' });
  await add.fill('no.such.field');
  await add.press('Enter');
  await facets
    .getByRole('alert')
    .getByText(/unknown field `no\.such\.field`/)
    .waitFor();
  assert.equal(await add.getAttribute('aria-invalid'), 'true');
  assert.equal(page.url(), url, 'the view stays');
  await isAccessible(page, 'a facet that does not exist');
  await add.fill('actor.context');
  await asking(page, () => add.press('Enter'));
  await page.getByRole('group', { name: 'actor.context' }).waitFor();

  await page.getByRole('button', { name: 'Columns' }).click();
  const columns = page.getByRole('dialog', { name: 'Columns' });
  await columns.getByRole('textbox', { name: 'Add column' }).fill('nope.nope');
  await columns.getByRole('button', { name: 'Add', exact: true }).click();
  await columns
    .getByRole('alert')
    .getByText(/unknown field `nope\.nope`/)
    .waitFor();
  assert.doesNotMatch(page.url(), /nope/);

  // A link with fields that do not exist here.
  await open(page, '?facets=gone.a,action.type,gone.b&cols=time,gone.c,summary&by=gone.d');
  for (const name of ['gone.a', 'gone.b', 'gone.c', 'gone.d'])
    await page.locator('.note').getByText(`Left out: unknown field \`${name}\``).waitFor();
  assert.ok((await total(page)) > 0);
  assert.doesNotMatch(page.url(), /gone/);
  await page.getByRole('group', { name: 'action.type' }).waitFor();
});

// A first question that fails.
await withPage({ errors: /status of 400/ }, async (page) => {
  await page.goto(new URL('?q=actor.mail:x', process.argv[2]).href);
  await page.getByText('did you mean').waitFor();
  await isAccessible(page, 'a first question that is wrong');
});

// A source that fails.
await withPage({}, async (page) => {
  await page.route(
    (url) => url.pathname === '/v1/sources',
    async (route) => {
      const answer = await route.fetch();
      const body = await answer.json();
      const trouble = { at: '2026-03-10T08:00:00Z', message: 'Cloudflare answered 404: no such account' };
      Object.assign(body.sources[0], { state: 'failing', failing_since: trouble.at, last_error: trouble });
      await route.fulfill({ response: answer, json: body });
    },
  );
  await page.goto(new URL('?view=sources', process.argv[2]).href);
  const row = page.getByRole('group', { name: 'All sources' }).getByRole('row').nth(1);
  await row.waitFor();
  assert.match(await row.textContent(), /10 Mar 2026 08:00: Cloudflare answered 404: no such account/);
  await page.clock.install();
  await page.reload();
  await row.waitFor();
  let n = 0;
  page.on('request', (request) => (n += Number(request.url().endsWith('/v1/sources'))));
  await page.clock.runFor(31_000);
  await until('the sources are read again', async () => n === 1);
  await page.unrouteAll({ behavior: 'ignoreErrors' });
});
