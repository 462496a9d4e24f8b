// How late entries become visible: a bar for each source, from the time within which half of them came to the latest one.

import { el } from './dom.js';
import { grouped, lasting } from './number.js';

/** @typedef {{entries: number, p50_seconds: number, p95_seconds: number, p99_seconds: number, max_seconds: number}} Figures */

/** The least that the axis ends with, in seconds: bars of fast sources stay short. */
const LEAST = 60;

/** @param {any[]} sources */
export function lateness(sources) {
  const measured = sources.filter((one) => one.upstream_lag);
  if (!measured.length) return null;
  const most = Math.max(LEAST, ...measured.map((one) => one.upstream_lag.max_seconds));
  return el(
    'section',
    { 'aria-label': 'Lateness' },
    el('h2', {}, 'Lateness'),
    el(
      'p',
      { class: 'dim' },
      'How long after their own time entries became visible at Cloudflare. The bar reaches from half of the entries to 99 %, the line to the latest one.',
    ),
    el(
      'div',
      { class: 'scroll wide', tabindex: '0', role: 'group', 'aria-label': 'Lateness of all sources' },
      el(
        'table',
        { class: 'src' },
        el(
          'thead',
          {},
          el(
            'tr',
            {},
            ...['Source', `0 to ${lasting(most)}`, 'Half', '95 %', '99 %', 'Latest', 'Entries'].map((name, i) =>
              el('th', { scope: 'col', class: i > 1 ? 'num' : '' }, name),
            ),
          ),
        ),
        el('tbody', {}, ...measured.map((one) => row(one, most))),
      ),
    ),
  );
}

/** @param {any} source @param {number} most */
function row(source, most) {
  const lag = /** @type {Figures} */ (source.upstream_lag);
  const figures = [lag.p50_seconds, lag.p95_seconds, lag.p99_seconds, lag.max_seconds];
  return el(
    'tr',
    {},
    el('th', { scope: 'row' }, el('bdi', {}, source.name ?? source.source)),
    el('td', { class: 'proof' }, bar(lag, most)),
    ...figures.map((seconds) => el('td', { class: 'num' }, lasting(seconds))),
    el('td', { class: 'num' }, grouped(lag.entries)),
  );
}

/** @param {Figures} lag @param {number} most */
function bar({ p50_seconds: half, p99_seconds: nearly, max_seconds: latest }, most) {
  const at = (/** @type {number} */ seconds) => (100 * seconds) / most;
  const piece = (/** @type {string} */ kind, /** @type {number} */ from, /** @type {number} */ to) => {
    const element = el('span', { class: kind });
    element.style.insetInlineStart = `${at(from)}%`;
    element.style.inlineSize = `max(2px, ${at(to - from)}%)`;
    return element;
  };
  return el('div', { class: 'late', 'aria-hidden': 'true' }, piece('line', half, latest), piece('bar', half, nearly));
}
