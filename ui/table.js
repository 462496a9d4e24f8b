// The histogram as a table.

import { el } from './dom.js';
import { grouped } from './number.js';
import { short } from './time.js';

/**
 * @param {import('./histogram.js').Answer} answer
 * @param {string} tz
 */
export function table({ buckets, by, values = [] }, tz) {
  const names = by ? values.map(({ label }) => label) : [];
  const number = (/** @type {number} */ n) => el('td', { class: 'num' }, grouped(n));
  const rows = buckets.map(({ time, count, split = [] }) =>
    el(
      'tr',
      {},
      el('th', { scope: 'row' }, el('time', { datetime: time }, short(time, tz))),
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
