// One event: what it changed, its exact bytes, what happened around it, and what can be done with each value.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { api, asking, open, total, until, withPage } from './browser.mjs';

await withPage({}, async (page) => {
  await open(page, '?q=action.type:update+resource.id:*');
  const total0 = await total(page);
  await page.locator('.row[data-seq]').first().click();
  const seq = await page.locator('.row[aria-selected=true]').getAttribute('data-seq');
  const drawer = page.getByRole('complementary', { name: `Event ${seq}` });
  await drawer.waitFor();
  assert.match(page.url(), new RegExp(`event=${seq}`));

  // The bytes, and their hash.
  await drawer.getByText(/^JSON as sent/).click();
  const text = await drawer.locator('pre').textContent();
  const event = await api(page, `/v1/events/${seq}`);
  assert.equal(createHash('sha256').update(text).digest('hex'), event.sha256);
  assert.match(await drawer.textContent(), new RegExp(event.sha256));

  // What it changed: the changed values only, side by side and inline.
  const changes = drawer.getByRole('region', { name: 'Changes' });
  const diff = await api(page, `/v1/events/${seq}/diff`);
  const changed = [...diff.added, ...diff.removed, ...diff.changed].length;
  await until('the changes are there', async () => !(await changes.textContent()).includes('Loading'));
  assert.equal(await changes.locator('tbody tr').count(), changed);
  if (changed) {
    await changes.getByRole('button', { name: 'Inline' }).click();
    assert.equal(await changes.locator('.inline li').count(), changed);
    await changes.getByRole('button', { name: 'Side by side' }).click();
  }

  // What happened around it.
  const timeline = drawer.getByRole('region', { name: 'Timeline' });
  for (const [name, by] of [
    ['Same address', 'ip'],
    ['Same resource', 'resource'],
    ['Everything', 'all'],
    ['Same actor', ''],
  ]) {
    await timeline.getByRole('switch', { name }).click();
    await until(
      `${name} is shown`,
      async () =>
        (await timeline.getByRole('switch', { name }).getAttribute('aria-checked')) === 'true' &&
        (await timeline.locator('.now').count()) === 1,
    );
    assert.equal(new URL(page.url()).searchParams.get('around') ?? '', by);
  }

  // A value: copied, alone, excluded, and its profile.
  const value = drawer.locator('[data-field="action.result"]');
  const result = await value.textContent();
  await drawer.getByRole('button', { name: `Copy ${result}` }).click();
  await until('it is copied', async () => (await page.evaluate(() => navigator.clipboard.readText())) === result);
  await asking(page, () => drawer.getByRole('button', { name: `Only ${result}` }).click());
  assert.match(
    await page.getByRole('combobox', { name: 'Query' }).inputValue(),
    new RegExp(`action\\.result:${result}`),
  );
  await page.goBack();
  await drawer.waitFor();
  await asking(page, () => drawer.getByRole('button', { name: `Without ${result}` }).click());
  assert.ok((await total(page)) < total0);
  await page.goBack();
  await drawer.waitFor();
  const email = await drawer.locator('[data-field="actor.email"]').textContent();
  await drawer.getByRole('button', { name: `Open profile of ${email}` }).click();
  const profile = page.getByRole('region', { name: `Profile of ${email}` });
  await profile.getByText('First seen').waitFor();
  const answer = await api(page, `/v1/actors/${encodeURIComponent(email)}`);
  assert.deepEqual(
    await profile.locator('.facts time').evaluateAll((times) => times.map((time) => time.getAttribute('datetime'))),
    [answer.first_seen, answer.last_seen],
  );
  await profile.getByRole('region', { name: 'Day and hour' }).waitFor();
  const hours = await profile.locator('.hours td').allTextContents();
  assert.equal(hours.length, 7 * 24);
  assert.equal(
    hours.map((text) => Number(text.replaceAll(',', ''))).reduce((a, b) => a + b),
    answer.count,
    'every event is in one hour',
  );
  await profile.getByRole('button', { name: /^[\d,]+ events?$/ }).click();
  await page.locator('.row[data-seq]').first().waitFor();
  await until('its events are listed', async () => (await total(page)) === answer.count);
});

// A list of many pages: few rows in the document, each event once, to the last one.
await withPage({}, async (page) => {
  await open(page);
  const all = await total(page);
  const rows = () =>
    page
      .locator('.list .row[data-seq]')
      .evaluateAll((found) => found.map(({ dataset: { index, seq } }) => [Number(index), seq]));
  const seen = new Map();
  const check = async () => {
    const drawn = await rows();
    assert.ok(drawn.length <= 1000, `${drawn.length} rows are in the document`);
    for (const [index, seq] of drawn) assert.equal(seen.get(index) ?? seq, seq, 'a row keeps its event');
    for (const [index, seq] of drawn) seen.set(index, seq);
  };
  await until('the end is reached', async () => {
    await check();
    await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
    return (await page.locator('.foot').textContent()).startsWith('All ');
  });
  await until('the last row is drawn', async () => check().then(() => seen.has(all - 1)));
  for (const part of [0.8, 0.5, 0.2, 0]) {
    await page.evaluate((to) => scrollTo(0, to * document.body.scrollHeight), part);
    const at = Math.floor(part * (all - 40));
    await until(`the rows about ${at} are drawn`, async () =>
      (await rows()).some(([index]) => Math.abs(index - at) < 100),
    );
    await check();
  }
  assert.equal(new Set(seen.values()).size, seen.size, 'each event is listed once');
});
