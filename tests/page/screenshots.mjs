// The pictures of the guide and of the README: `docs/src/images`.

import { mkdirSync } from 'node:fs';
import { open, PAGE, withPage } from './browser.mjs';

const FOLDER = 'docs/src/images';

mkdirSync(FOLDER, { recursive: true });
for (const scheme of ['light', 'dark']) {
  const take = (page, name) => page.screenshot({ path: `${FOLDER}/${name}-${scheme}.png` });
  await withPage({ width: 1280, height: 800, scheme }, async (page) => {
    await open(page, '?q=action.type:(update+OR+delete)+-actor.context:oauth+resource.product:dns&since=now-30d');
    await page
      .getByRole('region', { name: 'Coverage' })
      .getByText(/complete|settling/)
      .first()
      .waitFor();
    await page.locator('.row[data-seq]').nth(2).click();
    await page.getByRole('region', { name: 'Timeline' }).getByRole('listitem').first().waitFor();
    await page.evaluate(() => scrollTo(0, 0));
    await take(page, 'page');
    await page.goto(new URL('?view=sources', PAGE).href);
    await page.getByRole('region', { name: 'Lateness' }).waitFor();
    await take(page, 'sources');
    await page.goto(new URL(`?view=profile&of=${process.argv[3]}`, PAGE).href);
    await page.getByRole('region', { name: 'Day and hour' }).waitFor();
    await take(page, 'profile');
  });
}
