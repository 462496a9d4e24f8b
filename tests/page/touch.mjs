// Without a mouse, and with one that is used in another way: nothing invisible is tapped, and the histogram needs no second try.

import assert from 'node:assert/strict';
import { asking, open, total, until, withPage } from './browser.mjs';

const query = (page) => page.getByRole('combobox', { name: 'Query' });

await withPage({ width: 390, height: 844, touch: true }, async (page) => {
  await open(page);
  // The count of a value is not the button that excludes it, and that button can be seen.
  const types = page.getByRole('group', { name: 'action.type' });
  const count = await types.locator('.c').first().boundingBox();
  await page.touchscreen.tap(count.x + count.width / 2, count.y + count.height / 2);
  const exclude = types.getByRole('button', { name: 'Exclude update' });
  assert.equal(await exclude.evaluate((one) => getComputedStyle(one).opacity), '1');
  assert.equal(await query(page).inputValue(), '', 'a tap on the count excludes nothing');
  await asking(page, () => exclude.tap());
  assert.equal(await query(page).inputValue(), '-action.type:update');

  // Beside a value of an event nothing invisible is tapped.
  await page.locator('.row[data-seq]').first().tap();
  const drawer = page.getByRole('complementary', { name: /^Event / });
  const only = drawer.getByRole('button', { name: /^Only / }).first();
  await only.waitFor();
  assert.equal(await only.evaluate((one) => getComputedStyle(one.parentElement).opacity), '1');
});

// The first touch of the histogram, and Escape during a drag.
await withPage({ width: 390, height: 844, touch: true }, async (page) => {
  await open(page);
  const plot = page.getByRole('slider', { name: 'Range of time' });
  const { x, y, width } = await plot.boundingBox();
  const before = await total(page);
  await asking(page, () => page.touchscreen.tap(x + width * 0.97, y + 30));
  assert.equal(await page.locator('#trouble').count(), 0, 'the user sees no exception');
  assert.match(page.url(), /since=/);
  assert.ok((await total(page)) < before);
});

await withPage({}, async (page) => {
  await open(page);
  const { x, y, width } = await page.getByRole('slider', { name: 'Range of time' }).boundingBox();
  const url = page.url();
  await page.mouse.move(x + width * 0.3, y + 20);
  await page.mouse.down();
  await page.mouse.move(x + width * 0.6, y + 20, { steps: 3 });
  await until('a range is chosen', async () => /Enter zooms/.test(await page.locator('.said').textContent()));
  await page.keyboard.press('Escape');
  await page.mouse.up();
  await page.mouse.move(x + width * 0.7, y + 20);
  await page.keyboard.press('?');
  await page.getByRole('dialog', { name: 'Keys' }).waitFor();
  assert.equal(page.url(), url, 'Escape cancels the range');
  // That the histogram loses the focus moves nothing under the mouse.

  // The tools of a value take no place below it.
  await page.keyboard.press('Escape');
  await page.locator('.row[data-seq]').first().click();
  const fact = page.locator('.facts dd').first();
  await fact.waitFor();
  const [height, text] = [fact, fact.locator('.text')].map((one) =>
    one.evaluate((of) => of.getBoundingClientRect().height),
  );
  assert.ok((await height) - (await text) < 8, `a fact of ${await text} px is ${await height} px high`);
  await fact.hover();
  const email = await fact.locator('.text').textContent();
  await asking(page, () => fact.getByRole('button', { name: `Only ${email}` }).click());
});
