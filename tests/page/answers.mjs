// The page never shows one question with the answer to another as if it were its own, and always says what of a question's time is
// not proven.

import assert from 'node:assert/strict';
import { api, asking, open, total, until, withPage } from './browser.mjs';

const isEvents = (url) => url.pathname === '/v1/events' && !url.searchParams.has('cursor');

/** The answers of one question for whose release the test decides. */
async function held(page, task) {
  let release = () => {};
  const gate = new Promise((done) => (release = done));
  const hold = async (route) => {
    await gate;
    await route.continue().catch(() => {});
  };
  await page.route(isEvents, hold);
  await task();
  return async () => {
    release();
    await page.unroute(isEvents, hold);
  };
}

await withPage({ errors: /status of (400|404|503)/ }, async (page) => {
  const query = page.getByRole('combobox', { name: 'Query' });
  const note = page.locator('.note');
  const actions = ['Export', 'Copy link', 'Live'].map((name) => page.getByRole('button', { name, exact: true }));
  const ask = async (q) => {
    await query.fill(q);
    await query.press('Enter');
  };
  const isStale = () => page.locator('.body.stale').count();
  const saysOfWhat = async (why) => {
    await until(`${why}: the answer is marked`, isStale);
    assert.match(await note.textContent(), /still answers the question before: action\.type:delete\./, why);
    for (const action of actions) assert.ok(await action.isDisabled(), why);
    assert.equal(await page.locator('.time.stale').count(), 1, why);
  };
  await open(page, '?q=action.type:delete');
  const deletes = await total(page);

  // Cancelled.
  let release = await held(page, () => ask('action.type:login'));
  await page.getByRole('button', { name: 'Cancel' }).click();
  await saysOfWhat('cancelled');
  assert.match(await note.textContent(), /cancelled/);
  await release();
  await asking(page, () => page.getByRole('button', { name: 'Try again' }).click());
  assert.equal(await isStale(), 0);
  assert.equal(await total(page), (await api(page, '/v1/count?q=action.type:login')).count);
  for (const action of actions) assert.ok(await action.isEnabled());

  // Failed.
  await asking(page, () => ask('action.type:delete'));
  const busy = (route) =>
    route.fulfill({
      status: 503,
      contentType: 'application/problem+json',
      body: JSON.stringify({ title: 'Busy', detail: 'The service is busy.', parameter: null }),
    });
  await page.route(isEvents, busy);
  await ask('action.type:login');
  await saysOfWhat('failed');
  await page.unroute(isEvents, busy);

  // Wrong: Live does not begin by key either.
  await ask('actor.mail:x');
  await page.getByText('did you mean').waitFor();
  await saysOfWhat('wrong');
  await page.keyboard.press('Escape');
  await page.keyboard.press('l');
  await page.keyboard.press('?');
  await page.getByRole('dialog', { name: 'Keys' }).waitFor();
  await page.keyboard.press('Escape');
  assert.equal(await page.locator('.tail-head').count(), 0);

  // Two quick questions: the old answer stays marked until the last one is answered.
  await asking(page, () => ask('action.type:delete'));
  release = await held(page, async () => {
    await ask('action.type:login');
    await ask('action.type:create');
  });
  await page.getByRole('button', { name: 'Cancel' }).waitFor();
  assert.equal(await page.locator('.body.old').count(), 1);
  assert.equal(await total(page), deletes);
  await asking(page, release);
  assert.equal(await total(page), (await api(page, '/v1/count?q=action.type:create')).count);
});

// What is missing is said beside the total, also when events were found; and that nothing is missing too.
await withPage({}, async (page) => {
  const proven = page.locator('.proven');
  const coverage = async (state, reasons) => {
    await page.unrouteAll();
    await page.route(isEvents, async (route) => {
      const answer = await route.fetch();
      const body = await answer.json();
      body.coverage = { state, missing: [], missing_total: 0, missing_by_reason: reasons };
      await route.fulfill({ response: answer, json: body });
    });
  };
  await coverage('partial', {
    failing: { stretches: 1, sources: 2, seconds: 9, longest_seconds: 9, since: '2026-03-10T00:00:00Z', before: null },
  });
  await open(page, '?q=action.type:delete');
  await proven.getByText(/not complete: Cloudflare does not answer from 10 Mar 2026 00:00, 2 sources/).waitFor();
  await coverage('complete', {});
  await open(page, '?q=action.type:delete&since=2026-06-01');
  await proven.getByText(/^complete$/).waitFor();
  await page.goto(new URL('?q=action.type:delete+-action.type:delete&since=2026-06-01', page.url()).href);
  await page.getByText('Nothing found in this range, which is proven complete.').waitFor();
  await page.unrouteAll({ behavior: 'ignoreErrors' });
});

// Without a `since`, until when nothing is proven is said, wherever the events that were found are.
await withPage({}, async (page) => {
  await page.route(
    (url) => url.pathname === '/v1/coverage',
    async (route) => {
      const answer = await route.fetch();
      const body = await answer.json();
      const since = new URL(route.request().url()).searchParams.get('since');
      const gap = {
        since,
        before: '2026-03-10T00:00:00Z',
        state: 'missing',
        reason: 'before_upstream_kept',
        sources: 6,
      };
      const rest = { since: gap.before, before: null, state: 'complete', reason: null, sources: 6 };
      body.merged = [
        gap,
        { ...gap, since: gap.before, before: '2026-04-23T00:00:00Z', sources: 1 },
        { ...rest, since: '2026-04-23T00:00:00Z' },
      ];
      await route.fulfill({ response: answer, json: body });
    },
  );
  await open(page, '?q=action.type:delete');
  await page
    .locator('.proven')
    .getByText(/not proven before 23 Apr 2026 00:00: before Cloudflare kept this log/)
    .waitFor();
  await page.unrouteAll({ behavior: 'ignoreErrors' });
});

// A range of the future is a question like others.
await withPage({}, async (page) => {
  await page.goto(new URL('?since=2099-01-01', process.argv[2]).href);
  await page.getByText(/^Nothing found/).waitFor();
  const strip = page.getByRole('region', { name: 'Coverage' });
  await until('the strip has words', async () => (await strip.textContent()) !== '');
  assert.doesNotMatch(await strip.textContent(), /is not after/);
});
