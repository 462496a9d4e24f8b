// What the tests of the page share: a browser, what a test says to the program that runs it, and checks.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';

const require = createRequire(resolve(process.env.NODE_MODULES, 'package.json'));
const { chromium } = require('playwright-core');
const AXE = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

/** Where the page is. */
export const PAGE = process.argv[2];

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
// The test ends although more could be said.
process.stdin.unref?.();

/** Asks the program that runs the test for something, for example another event upstream; gives its answer. @param {string} what */
export async function ask(what) {
  console.log(`@${what}`);
  const { value } = await lines.next();
  return JSON.parse(value);
}

/**
 * Opens a browser, runs `test` in a page of it, and fails if the page failed: by an error, or by something that its policy forbids.
 * @param {{width?: number, height?: number, scheme?: 'light' | 'dark', touch?: boolean, errors?: RegExp}} how `touch`: there is no mouse; `errors`: what may be reported
 * @param {(page: any, context: any) => Promise<void>} test
 */
export async function withPage({ width = 1280, height = 900, scheme = 'light', touch = false, errors = /^$/ }, test) {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
  try {
    const context = await browser.newContext({
      viewport: { width, height },
      hasTouch: touch,
      isMobile: touch,
      colorScheme: scheme,
      locale: 'en-GB',
      timezoneId: 'Asia/Tokyo',
      reducedMotion: 'reduce',
    });
    await context.grantPermissions(['clipboard-read', 'clipboard-write']);
    const page = await context.newPage();
    const failed = [];
    watch(page, failed);
    context.on('page', (another) => watch(another, failed));
    await test(page, context);
    assert.deepEqual(
      failed.filter((one) => !errors.test(one)),
      [],
      'the page reported errors',
    );
  } finally {
    await browser.close();
  }
}

function watch(page, failed) {
  page.setDefaultTimeout(120_000);
  page.on('pageerror', (error) => failed.push(`error: ${error.stack}`));
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type()))
      failed.push(`${message.type()}: ${message.text()} ${message.location().url}`);
  });
  page.on('dialog', (dialog) => {
    failed.push(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
}

/** Opens an address of the page and waits until its events are there. */
export async function open(page, address = '') {
  await page.goto(new URL(address, PAGE).href);
  await page.locator('.row[data-seq]').first().waitFor();
}

/** How many events the page says there are. */
export async function total(page) {
  return Number((await page.locator('.total').textContent()).replace(/\D/g, ''));
}

/** Does something that asks another question, and waits for its answer. */
export async function asking(page, task) {
  const answered = page.waitForResponse(
    (answer) => new URL(answer.url()).pathname === '/v1/events' && !answer.url().includes('cursor='),
  );
  const result = await task();
  await (await answered).finished();
  await page.waitForFunction(() => !document.querySelector('.body.old'));
  return result;
}

/** Checks `is` until it holds. @param {string} what @param {() => Promise<unknown>} is */
export async function until(what, is) {
  const end = Date.now() + 120_000;
  let last;
  while (Date.now() < end) {
    try {
      if (await is()) return;
    } catch (error) {
      last = error;
    }
    await new Promise((done) => setTimeout(done, 25));
  }
  throw new Error(`waited too long until ${what}`, { cause: last });
}

/** What the API answers, for comparison. */
export async function api(page, path) {
  const answer = await page.request.get(new URL(path, PAGE).href);
  assert.equal(answer.status(), 200, path);
  return answer.json();
}

const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

/** Checks a view with axe, and that nothing is wider than the window. @param {string} what */
export async function isAccessible(page, what) {
  if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(AXE);
  const violations = await page.evaluate(async (values) => {
    const found = await window.axe.run(document, { runOnly: { type: 'tag', values } });
    return found.violations.map(
      ({ id, nodes }) =>
        `${id}: ${nodes
          .slice(0, 3)
          .map((node) => `${node.html.slice(0, 160)} (${node.failureSummary.split('\n')[1]})`)
          .join(' ')}`,
    );
  }, TAGS);
  assert.deepEqual(violations, [], what);
  const [wide, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(wide <= window, `${what}: ${wide} px in a window of ${window} px`);
}
