// Hostile text in every field: it is shown as text, the layout holds, and nothing is executed or reported.

import assert from 'node:assert/strict';
import { open, PAGE, total, until, withPage } from './browser.mjs';

for (const width of [320, 1280]) {
  // What the hostile addresses ask for is refused, or is not there.
  await withPage({ width, errors: /status of 40[04]/ }, async (page) => {
    await page.addInitScript(() => {
      window.violations = [];
      addEventListener(
        'securitypolicyviolation',
        (event) => window.violations.push(`${event.violatedDirective} ${event.blockedURI}`),
        true,
      );
    });
    const isHarmless = async (what) => {
      const { hit, violations, wide, narrow } = await page.evaluate(() => ({
        hit: window.hit,
        violations: window.violations,
        wide: document.documentElement.scrollWidth,
        narrow: innerWidth,
      }));
      assert.equal(hit, undefined, what);
      assert.deepEqual(violations, [], what);
      assert.ok(wide <= narrow, `${what}: ${wide} px in ${narrow} px`);
    };
    await open(page, '?cols=time,actor,summary,account,actor.ip_address,resource.id');
    const n = await total(page);
    assert.ok(n >= 9);
    await until('all rows are there', async () => (await page.locator('.row[data-seq]').count()) === n);
    assert.match(await page.getByRole('grid', { name: 'Events' }).textContent(), /<img src=x/);
    await isHarmless('the list');
    const seqs = await page.locator('.row[data-seq]').evaluateAll((rows) => rows.map((row) => row.dataset.seq));
    for (const seq of seqs) {
      await page.goto(new URL(`?q=seq:${seq}&event=${seq}`, PAGE).href);
      const drawer = page.getByRole('complementary', { name: `Event ${seq}` });
      await drawer.getByRole('region', { name: 'Timeline' }).getByRole('listitem').first().waitFor();
      await drawer.getByText('More values').click();
      await drawer.getByText(/^JSON as sent/).click();
      await isHarmless(`event ${seq}`);
    }
    await open(page);
    // The values of the facets as filters and as chips.
    const texts = page.getByRole('group', { name: 'action.type' }).locator('.value');
    for (let i = 0; i < (await texts.count()); i += 1) {
      const name = await texts.nth(i).getAttribute('aria-label');
      const [label, count] = [name.slice(0, 40), Number(name.split(' ').at(-1))];
      if (label.startsWith('AAAA')) continue;
      await open(page);
      await texts.nth(i).click();
      await until(`only ${label} is left`, async () => (await total(page)) === count);
      await isHarmless(`a chip of ${label}`);
    }
    for (const value of ['<img src=x onerror="window.hit=1">', 'javascript:window.hit=1', '__proto__']) {
      await page.goto(new URL(`?view=profile&of=actors/${encodeURIComponent(value)}`, PAGE).href);
      await page.getByText('First seen').waitFor();
      await isHarmless(`the profile of ${value}`);
    }
    // Addresses that another person made.
    for (const address of [
      '?q=%22%3Cscript%3Ewindow.hit%3D1%3C/script%3E%22',
      '?view=%3Cimg%20src=x%20onerror=window.hit=1%3E',
      '?cols=__proto__,constructor&facets=__proto__',
      '?event=javascript:window.hit=1',
      '?of=../../x&view=profile',
      '?off=%3Cb%3E&off=%22',
    ]) {
      await page.goto(new URL(address, PAGE).href).catch(() => null);
      await page.getByRole('navigation', { name: 'Views' }).waitFor();
      await page.waitForLoadState('networkidle');
      await isHarmless(address);
    }
  });
}
