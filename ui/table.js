// The histogram as a table.

import { el } from './dom.js';
import { grouped } from './number.js';
import { offset, short } from './time.js';

/**
 * @param {import('./histogram.js').Answer} answer
 * @param {string} tz
 */
export function table({ buckets, by, values = [] }, tz) {
  const names = by ? values.map(({ label }) => label) : [];
  const number = (/** @type {number} */ n) => el('td', { class: 'num' }, grouped(n));
  const texts = buckets.map(({ time }) => short(time, tz));
  // When clocks go back, an hour comes twice.
  const found = Map.groupBy(texts, (text) => text);
  const isTwice = (/** @type {number} */ i) => tz !== 'UTC' && (found.get(texts[i])?.length ?? 0) > 1;
  const rows = buckets.map(({ time, count, split = [] }, i) =>
    el(
      'tr',
      {},
      el(
        'th',
        { scope: 'row' },
        el('time', { datetime: time }, isTwice(i) ? `${texts[i]} ${offset(time, tz)}` : texts[i]),
      ),
      number(count),
      ...names.map((_, i) => number(split[i] ?? 0)),
    ),
  );
  const head = el(
    'tr',
    {},
    el('th', { scope: 'col' }, 'From'),
    ...['Events', ...names].map((name) => el('th', { scope: 'col', class: 'num' }, name)),
  );
  return el(
    'div',
    { class: 'scroll', tabindex: '0', role: 'group', 'aria-label': 'All buckets' },
    el(
      'table',
      {},
      el('caption', { class: 'vh' }, 'Events over time'),
      el('thead', {}, head),
      el('tbody', {}, ...rows),
    ),
  );
}
