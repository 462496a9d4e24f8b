// What is opened is in sight, wherever the list is scrolled to and however wide the window is, and every column can be read.

import assert from 'node:assert/strict';
import { open, until, withPage } from './browser.mjs';

/** Whether the upper edge of an element is in the window. */
const isInSight = (element) =>
  element.evaluate((one) => {
    const { top, bottom } = one.getBoundingClientRect();
    return top >= 0 && top < innerHeight && bottom > 0;
  });

/** The row of the list at this part of the window's height, by its seq, and where it is. */
const rowAt = (page, part) =>
  page.evaluate((y) => {
    const rows = [...document.querySelectorAll('.list .row[data-seq]')];
    const row = rows.find((one) => one.getBoundingClientRect().top > y * innerHeight);
    return { seq: row.dataset.seq, top: row.getBoundingClientRect().top };
  }, part);

const topOf = (page, seq) =>
  page.evaluate((one) => document.querySelector(`.row[data-seq="${one}"]`).getBoundingClientRect().top, seq);

/** No row lies over another one, and no day or sheet leaves a hole. */
async function rowsFollowEachOther(page) {
  const rows = await page.evaluate(() =>
    [...document.querySelectorAll('.sheet')]
      .filter((sheet) => sheet.firstChild)
      .flatMap((sheet) => [...sheet.querySelectorAll('.row'), sheet].map((one) => one.getBoundingClientRect().bottom)),
  );
  const sheets = await page.evaluate(() =>
    [...document.querySelectorAll('.sheet')]
      .filter((sheet) => sheet.firstChild)
      .map((sheet) => [sheet.getBoundingClientRect().bottom, sheet.lastChild.getBoundingClientRect().bottom]),
  );
  assert.ok(rows.length > 10);
  for (const [sheet, last] of sheets)
    assert.ok(Math.abs(sheet - last) < 2, `a sheet ends at ${sheet}, its rows at ${last}`);
}

/** Each cell that has a text is inside the list, and not without width. */
async function cellsAreInside(page, what) {
  const lost = await page.evaluate(() => {
    const box = document.querySelector('.list').getBoundingClientRect();
    return [...document.querySelectorAll('.list .row[data-seq]')].slice(0, 10).flatMap((row) =>
      [...row.children]
        .filter((cell) => {
          const { left, right, width } = cell.getBoundingClientRect();
          // On a phone, and beside an open event, the account is in the event alone.
          if (cell.className === 'c-account' && !width) return false;
          return cell.textContent && (right > box.right + 1 || left < box.left - 1 || width < 20);
        })
        .map((cell) => cell.className),
    );
  });
  assert.deepEqual(lost, [], what);
}

for (const width of [1280, 1000, 768]) {
  await withPage({ width }, async (page) => {
    await open(page);
    await until('the strip is there', () => page.locator('.coverage .legend').textContent());
    await page.evaluate(() => scrollTo(0, 3000));
    await until('the rows there are drawn', async () => (await rowAt(page, 0.5)).seq);
    const { seq, top } = await rowAt(page, 0.5);
    await page.locator(`.list .row[data-seq="${seq}"]`).click();
    const drawer = page.getByRole('complementary', { name: `Event ${seq}` });
    await drawer.getByRole('heading', { level: 2 }).waitFor();
    assert.ok(await isInSight(drawer), `at ${width} px the drawer is in sight`);
    assert.ok(await isInSight(drawer.getByRole('button', { name: 'Close' })), `at ${width} px it can be closed`);
    const now = await topOf(page, seq);
    assert.ok(Math.abs(now - top) < 40, `at ${width} px the row stays where it was: ${top}, now ${now}`);
    assert.ok(await isInSight(page.getByRole('combobox', { name: 'Query' })), 'the query stays in sight');
    if (width > 1180) {
      assert.ok(await isInSight(page.getByRole('columnheader', { name: 'Time' })), 'the heads stay in sight');
      assert.ok(await isInSight(page.getByRole('region', { name: 'Facets' })), 'the facets stay in sight');
    }
    await cellsAreInside(page, `with the drawer open at ${width} px`);
  });
}

// A window that becomes narrow, and wide again.
await withPage({}, async (page) => {
  await open(page);
  for (const [width, height] of [
    [400, 900],
    [1280, 900],
    [390, 844],
    [844, 390],
  ]) {
    await page.setViewportSize({ width, height });
    await until(`rows follow each other at ${width} px`, () => rowsFollowEachOther(page).then(() => true));
    await cellsAreInside(page, `at ${width} px`);
  }
});

// Added columns.
for (const width of [1280, 800, 320]) {
  await withPage({ width }, async (page) => {
    await open(page, '?cols=time,actor,summary,account,actor.ip_address,resource.id,raw.user_agent');
    await cellsAreInside(page, `added columns at ${width} px`);
    assert.ok(await page.locator('.row[data-seq] .c-path').first().isVisible());
  });
}
