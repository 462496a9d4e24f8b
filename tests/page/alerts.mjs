// The view of alerts: found, filtered, opened with its events, and worked on by those who may; by mouse and by keyboard, in both themes, wide
// and narrow.

import assert from 'node:assert/strict';
import { api, ask, isAccessible, PAGE, until, withPage } from './browser.mjs';

const signIn = async (page, token) => {
  await page.getByLabel('Token').fill(token);
  await page.getByRole('button', { name: 'Sign in' }).click();
};

const list = (page) => page.getByRole('list', { name: 'Alerts' });
const drawer = (page) => page.getByRole('complementary', { name: /^Alert / });

for (const [width, scheme] of [
  [1280, 'light'],
  [1280, 'dark'],
  [320, 'light'],
  [320, 'dark'],
]) {
  const named = (view) => `${view}, ${scheme}, ${width} px`;
  await withPage({ width, scheme, errors: /status of 401/ }, async (page) => {
    const { token } = await ask('token search,alerts');
    await page.goto(PAGE);
    await signIn(page, token);
    await page.locator('.row[data-seq]').first().waitFor();
    await page.getByRole('link', { name: 'Alerts' }).click();
    await page.getByRole('heading', { name: /^Alerts/ }).waitFor();
    await until('there are alerts', async () => (await api(page, '/v1/alerts?state=open')).alerts.length > 2);
    await page.reload();
    await list(page).getByRole('listitem').first().waitFor();
    await isAccessible(page, named('alerts'));

    // Filters are in the address, and stay when the page is loaded again.
    await page.getByRole('combobox', { name: 'State' }).selectOption('open');
    await page.waitForURL(/state=open/);
    const { level, title } = (await api(page, '/v1/alerts?state=open')).alerts[0].rule;
    await page.getByRole('combobox', { name: 'Level' }).selectOption(level);
    await page.getByRole('combobox', { name: 'Rule' }).selectOption(title);
    await page.waitForURL(/rule=/);
    await page.reload();
    await list(page).getByRole('listitem').first().waitFor();
    assert.equal(await page.getByRole('combobox', { name: 'Level' }).inputValue(), level);
    const asked = new URL(page.url()).searchParams;
    const expected = await api(page, `/v1/alerts?rule=${asked.get('rule')}&level=${level}&state=open`);
    await until(
      'the list has the alerts that were asked for',
      async () => (await list(page).getByRole('listitem').count()) === expected.alerts.length,
    );
    for (const text of await list(page).getByRole('listitem').allTextContents()) assert.ok(text.includes(title), text);

    // One is opened by keyboard. It has its events, each of which opens, its rule and its history.
    const first = list(page).getByRole('link').first();
    await first.focus();
    await page.keyboard.press('Enter');
    await drawer(page).getByRole('region', { name: 'Events' }).getByRole('button').first().waitFor();
    const { id } = expected.alerts[0];
    assert.equal(new URL(page.url()).searchParams.get('alert'), id);
    await isAccessible(page, named('an alert'));
    const { rules } = await api(page, '/v1/rules');
    const { description } = rules.find((one) => one.id === asked.get('rule'));
    const shown = await drawer(page).getByRole('region', { name: 'Rule' }).textContent();
    assert.ok(shown.includes(description.slice(0, 40)), shown);
    await drawer(page).getByRole('region', { name: 'Events' }).getByRole('button').first().click();
    const event = page.getByRole('complementary', { name: /^Event / });
    await event.getByRole('region', { name: 'Changes' }).waitFor();
    assert.equal(await event.getByRole('button', { name: 'Next event' }).count(), 0);
    await isAccessible(page, named('an event of an alert'));
    await event.getByRole('button', { name: 'Close', exact: true }).click();
    await drawer(page).waitFor();

    // It is acknowledged, assigned and closed with a reason.
    await drawer(page).getByRole('button', { name: 'Acknowledge' }).click();
    await until('it is acknowledged', async () => (await api(page, `/v1/alerts/${id}`)).state === 'acknowledged');
    await drawer(page).getByRole('button', { name: 'Open again' }).waitFor();
    await drawer(page).getByRole('button', { name: 'Assign' }).click();
    await page.getByRole('textbox', { name: 'Assignee' }).fill('ben');
    await isAccessible(page, named('a dialog of an alert'));
    await page.keyboard.press('Enter');
    await drawer(page).getByText('assigned to ben').waitFor();
    await drawer(page).getByRole('button', { name: 'Close alert' }).click();
    await page.getByRole('textbox', { name: 'Reason' }).fill('planned work');
    await page.keyboard.press('Enter');
    await drawer(page).getByText('planned work').waitFor();
    const closed = await api(page, `/v1/alerts/${id}`);
    assert.deepEqual([closed.state, closed.assignee], ['closed', 'ben']);
    assert.equal(await drawer(page).getByRole('button', { name: 'Close alert' }).count(), 0);

    // What others change is shown at once.
    await page.getByRole('combobox', { name: 'State' }).selectOption('');
    const others = (await api(page, `/v1/alerts?rule=${asked.get('rule')}&level=${level}`)).alerts;
    const other = others.filter((one) => one.state !== 'retracted').at(-1);
    const row = list(page).locator(`[data-id="${other.id}"]`);
    await row.waitFor();
    const reason = { state: 'closed', reason: 'by another' };
    await page.request.patch(new URL(`/v1/alerts/${other.id}`, PAGE).href, { data: reason });
    await row.getByText('closed', { exact: true }).waitFor();
    await page.goBack();
    await drawer(page).getByText('planned work').waitFor();

    // Escape closes it; the address that was copied opens it again.
    const address = page.url();
    await drawer(page).focus();
    await page.keyboard.press('Escape');
    await drawer(page).waitFor({ state: 'detached' });
    await page.goto(address);
    await drawer(page).getByText('planned work').waitFor();

    // Without the scope there is nothing to change it with.
    const reader = await ask('token search');
    await page.context().clearCookies();
    await page.goto(address);
    await signIn(page, reader.token);
    await drawer(page).getByRole('region', { name: 'History' }).waitFor();
    for (const name of ['Acknowledge', 'Open again', 'Assign', 'Close alert'])
      assert.equal(await drawer(page).getByRole('button', { name }).count(), 0, name);
  });
}
