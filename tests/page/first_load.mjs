// The first load: which requests it makes, and how many bytes they take.

import assert from 'node:assert/strict';
import { open, PAGE, withPage } from './browser.mjs';

await withPage({}, async (page) => {
  const requests = [];
  page.on('requestfinished', (request) => requests.push(request));
  await open(page);
  await page
    .getByRole('region', { name: 'Coverage' })
    .getByText(/complete|settling|missing|claimed/)
    .first()
    .waitFor();
  await page.waitForLoadState('networkidle');
  const sizes = await Promise.all(requests.map((request) => request.sizes()));
  const bytes = sizes.reduce(
    (sum, { responseBodySize, responseHeadersSize }) => sum + responseBodySize + responseHeadersSize,
    0,
  );
  const questions = requests
    .map((request) => new URL(request.url()).pathname)
    .filter((path) => path.startsWith('/v1/') && path !== '/v1/me');
  console.log(`the first load: ${requests.length} requests, ${bytes} bytes, questions ${questions.join(' ')}`);
  assert.ok(
    requests.every((request) => request.url().startsWith(PAGE)),
    'nothing is loaded from elsewhere',
  );
  assert.ok(questions.length <= 2, questions.join(' '));
  assert.ok(requests.length <= 30, `${requests.length} requests`);
  assert.ok(bytes <= 100_000, `${bytes} bytes`);
});
