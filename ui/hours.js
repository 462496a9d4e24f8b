// When something was active: a table of the days of the week and the hours of the day, in the chosen zone.

import { el } from './dom.js';
import { ask } from './api.js';
import { counted, grouped } from './number.js';
import { state } from './state.js';

const DAYS = ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'];
/** How far back from its last event the hours are counted, in days. */
const MOST_DAYS = 90;
/** How many shades a cell can have. */
const SHADES = 5;

/**
 * @param {Record<string, unknown>} asked what is counted
 * @param {{first_seen: string | null, last_seen: string | null}} profile
 */
export async function hours(asked, { first_seen: first, last_seen: last }) {
  if (!first || !last) return null;
  const since = Math.max(Date.parse(first), Date.parse(last) - MOST_DAYS * 86400e3);
  const range = { since: new Date(since).toISOString(), before: new Date(Date.parse(last) + 1).toISOString() };
  const { buckets } = await ask('/v1/histogram', { ...asked, ...range, interval: '1h' });
  return table(counts(buckets, state().tz));
}

/** The counts by day and hour. @param {{time: string, count: number}[]} buckets @param {string} tz */
function counts(buckets, tz) {
  const format = new Intl.DateTimeFormat('en-GB', { timeZone: tz, weekday: 'long', hour: '2-digit', hourCycle: 'h23' });
  const found = DAYS.map(() => Array(24).fill(0));
  for (const { time, count } of buckets) {
    if (!count) continue;
    const parts = Object.fromEntries(format.formatToParts(new Date(time)).map(({ type, value }) => [type, value]));
    found[DAYS.indexOf(parts.weekday)][Number(parts.hour)] += count;
  }
  return found;
}

/** @param {number[][]} found */
function table(found) {
  const most = Math.max(1, ...found.flat());
  const two = (/** @type {number} */ hour) => String(hour).padStart(2, '0');
  const cell = (/** @type {number} */ count, /** @type {string} */ day, /** @type {number} */ hour) =>
    el(
      'td',
      { class: `h${Math.ceil((SHADES * count) / most)}`, title: `${day} ${two(hour)}:00: ${counted(count, 'event')}` },
      el('span', { class: 'vh' }, grouped(count)),
    );
  const hour = (/** @type {number} */ at) =>
    el('th', { scope: 'col' }, at % 3 ? el('span', { class: 'vh' }, two(at)) : two(at));
  return el(
    'section',
    { 'aria-label': 'Day and hour' },
    el('h2', {}, 'Day and hour'),
    el('p', { class: 'dim' }, `In the ${MOST_DAYS} days up to the last event, ${state().tz}.`),
    el(
      'div',
      { class: 'scroll', tabindex: '0', role: 'group', 'aria-label': 'Events by day and hour' },
      el(
        'table',
        { class: 'hours' },
        el(
          'thead',
          {},
          el(
            'tr',
            {},
            el('th', { scope: 'col' }, el('span', { class: 'vh' }, 'Day')),
            ...Array.from({ length: 24 }, (_, at) => hour(at)),
          ),
        ),
        el(
          'tbody',
          {},
          ...found.map((row, i) =>
            el(
              'tr',
              {},
              el('th', { scope: 'row' }, DAYS[i].slice(0, 3)),
              ...row.map((count, at) => cell(count, DAYS[i], at)),
            ),
          ),
        ),
      ),
    ),
  );
}
