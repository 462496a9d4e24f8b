// Every view is clean by axe, in both themes, at 320 and 1280 px, and fits the window.

import { asking, isAccessible, open, PAGE, withPage } from './browser.mjs';

for (const [width, height] of [
  [320, 700],
  [1280, 900],
]) {
  for (const scheme of ['light', 'dark']) {
    const named = (view) => `${view}, ${scheme}, ${width} px`;
    // The query that is wrong is answered with 400, and there are no values of its field.
    await withPage({ width, height, scheme, errors: /status of 40[04]/ }, async (page) => {
      await open(page);
      await isAccessible(page, named('events'));
      await page.getByText('Table', { exact: true }).click();
      await page.getByRole('table').waitFor();
      await isAccessible(page, named('the histogram as a table'));
      await open(page, '?q=action.type:delete+-actor.context:dash&off=dns&cols=time,summary,actor.ip_address');
      await isAccessible(page, named('filters and columns'));
      await page.getByRole('combobox', { name: 'Query' }).fill('actor.');
      await page.getByRole('listbox', { name: 'Completions' }).getByRole('option').first().waitFor();
      await isAccessible(page, named('completions'));
      const query = page.getByRole('combobox', { name: 'Query' });
      await query.fill('actor.mail:x');
      await asking(page, () => query.press('Enter'));
      await page.getByText('did you mean').waitFor();
      await isAccessible(page, named('a query that is wrong'));

      await open(page, '?q=action.type:update');
      for (const [button, dialog] of [
        ['Columns', 'Columns'],
        ['Save', 'Saved searches'],
        ['Export', 'Export'],
        ['Keys', 'Keys'],
        ['local', 'You'],
      ]) {
        await page.getByRole('button', { name: button, exact: true }).click();
        await page.getByRole('dialog', { name: dialog }).waitFor();
        await isAccessible(page, named(dialog));
        await page.keyboard.press('Escape');
      }
      await page.getByRole('button', { name: 'Live' }).click();
      await page.getByRole('button', { name: 'Pause' }).waitFor();
      await isAccessible(page, named('live'));

      await page.locator('.row[data-seq]').first().click();
      const drawer = page.getByRole('complementary', { name: /^Event / });
      await drawer.getByRole('region', { name: 'Timeline' }).getByRole('listitem').first().waitFor();
      await drawer.getByText('More values').click();
      await drawer.getByText(/^JSON as sent/).click();
      await isAccessible(page, named('an event'));

      await page.goto(new URL('?view=sources', PAGE).href);
      await page.getByRole('heading', { name: /^Sources/ }).waitFor();
      await page.locator('.src').first().waitFor();
      await isAccessible(page, named('sources'));
      await page.goto(new URL(`?view=profile&of=${process.argv[3]}`, PAGE).href);
      await page.getByRole('region', { name: 'Day and hour' }).waitFor();
      await isAccessible(page, named('a profile'));
    });
  }
}
