// Sign-in by a token: what may be done, the end of a session, and sign-out.

import assert from 'node:assert/strict';
import { ask, isAccessible, PAGE, total, until, withPage } from './browser.mjs';

const signIn = async (page, token) => {
  await page.getByLabel('Token').fill(token);
  await page.getByRole('button', { name: 'Sign in' }).click();
};

for (const [width, scheme] of [
  [1280, 'light'],
  [320, 'dark'],
]) {
  // Without a session the service answers 401.
  await withPage({ width, scheme, errors: /status of 401/ }, async (page) => {
    const { id, token } = await ask('token search');
    await page.goto(new URL('?q=action.type:delete', PAGE).href);
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    await isAccessible(page, `sign-in, ${scheme}, ${width} px`);
    await signIn(page, `${token}x`);
    await page.getByRole('alert').getByText(/token/).waitFor();
    await isAccessible(page, `a token that is refused, ${scheme}, ${width} px`);
    await signIn(page, token);
    await page.locator('.row[data-seq]').first().waitFor();
    const deletes = await total(page);
    assert.equal(
      await page.getByRole('combobox', { name: 'Query' }).inputValue(),
      'action.type:delete',
      'the question stays',
    );
    assert.ok(!(await page.evaluate(() => document.cookie)), 'scripts cannot read the session');

    // Who I am, and what I may do: there is no export.
    await page.getByRole('button', { name: "Ann's browser" }).click();
    const you = page.getByRole('dialog', { name: 'You' });
    await you.getByText('search the log').waitFor();
    assert.equal(await you.getByText('export events').count(), 0);
    await page.keyboard.press('Escape');
    assert.equal(await page.getByRole('button', { name: 'Export' }).count(), 0);
    await page.reload();
    await page.locator('.row[data-seq]').first().waitFor();

    // The session ends. The next question asks for a token, and then goes on.
    await ask(`revoke ${id}`);
    await page.getByRole('combobox', { name: 'Query' }).fill('action.type:create');
    await page.getByRole('combobox', { name: 'Query' }).press('Enter');
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    const another = await ask('token search,export');
    await signIn(page, another.token);
    await page.locator('.row[data-seq]').first().waitFor();
    assert.equal(await page.getByRole('combobox', { name: 'Query' }).inputValue(), 'action.type:create');
    assert.notEqual(await total(page), deletes);
    await page.getByRole('button', { name: 'Export' }).waitFor();

    // Signed out, the session is over for others too who have its cookie.
    const cookies = await page.context().cookies();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    await page.context().addCookies(cookies);
    await until(
      'the old cookie is refused',
      async () => (await page.request.get(new URL('/v1/me', PAGE).href)).status() === 401,
    );
  });
}
