// Back, forward, reload, two tabs, a lost connection, a restarted service, and a live tail that loses nothing.

import assert from 'node:assert/strict';
import { api, ask, asking, open, total, until, withPage } from './browser.mjs';

const status = (page) => page.locator('.tail [role=status]').textContent();

// What a lost connection and a stopped service leave on the console.
await withPage({ errors: /ERR_|Failed to load|status of/ }, async (page, context) => {
  // Back and forward, and a reload.
  await open(page);
  const all = await total(page);
  const query = page.getByRole('combobox', { name: 'Query' });
  await asking(page, async () => {
    await query.fill('action.type:delete');
    await query.press('Enter');
  });
  const deletes = await total(page);
  await page.locator('.row[data-seq]').first().click();
  const drawer = page.getByRole('complementary', { name: /^Event / });
  await drawer.waitFor();
  await page.goBack();
  await until('the drawer is closed', async () => (await drawer.count()) === 0);
  await asking(page, () => page.goBack());
  assert.deepEqual([await total(page), await query.inputValue()], [all, '']);
  await asking(page, () => page.goForward());
  assert.deepEqual([await total(page), await query.inputValue()], [deletes, 'action.type:delete']);
  await page.goForward();
  await drawer.waitFor();
  await page.reload();
  await drawer.waitFor();
  await page.locator('.row[data-seq]').first().waitFor();
  assert.deepEqual([await total(page), await query.inputValue()], [deletes, 'action.type:delete']);

  // Another tab has its own question.
  const other = await context.newPage();
  await open(other, '?q=action.type:create');
  assert.notEqual(await total(other), deletes);
  assert.equal(await query.inputValue(), 'action.type:delete');
  await other.close();

  // Without a connection the page says so, and goes on when it is back.
  await open(page);
  await context.setOffline(true);
  await query.fill('action.type:delete');
  await query.press('Enter');
  await page.getByText('The service does not answer').waitFor();
  await asking(page, () => context.setOffline(false));
  assert.equal(await total(page), deletes);
  assert.equal(await page.getByText('The service does not answer').count(), 0);

  // The tail: counted, paused, across a lost connection and a restart.
  await open(page, '?q=actor.email:*');
  await page.getByRole('button', { name: 'Live' }).click();
  await page.getByRole('button', { name: 'Pause' }).waitFor();
  await ask('publish 1');
  await until('one is new', async () => (await status(page)) === '1 new');
  await page.getByRole('button', { name: 'Pause' }).click();
  await ask('publish 30');
  await until('30 wait', async () => (await status(page)) === '30 waiting');
  await page.getByRole('button', { name: 'Resume' }).click();
  assert.equal(await status(page), '31 new');
  await context.setOffline(true);
  await ask('publish 40');
  await until('40 are stored', async () => (await api(page, '/v1/count?q=actor.email:live@example.com')).count === 71);
  await context.setOffline(false);
  await until('the 40 came', async () => (await status(page)) === '71 new');
  await ask('stop');
  await page.getByText('connection lost').waitFor();
  await query.fill('action.type:create');
  await ask('publish 300');
  await ask('start');
  await until('the 300 came', async () => (await status(page)) === '371 new');
  assert.equal(await page.locator('.tail .row[data-seq]').count(), 200, 'the newest are kept');
  const kept = await page.locator('.tail .row[data-seq]').evaluateAll((rows) => rows.map((row) => row.dataset.seq));
  assert.equal(new Set(kept).size, 200, 'each once');
  await page.getByRole('button', { name: 'Stop' }).click();
  assert.equal(await page.locator('.tail-head').count(), 0);

  // A stopped service: the page says so, and asks again when one tries.
  await ask('stop');
  await query.press('Enter');
  await page.getByText('The service does not answer').waitFor();
  await ask('start');
  await asking(page, () => page.getByRole('button', { name: 'Try again' }).click());
  assert.equal(await total(page), (await api(page, '/v1/count?q=action.type:create')).count);
});
