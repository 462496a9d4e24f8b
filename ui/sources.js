// The view of sources: how each log is doing, and what is proven of its time.

import { el, put } from './dom.js';
import { ask } from './api.js';
import { lateness } from './lateness.js';
import { counted, grouped, lasting } from './number.js';
import { DEFAULTS, address, go, state } from './state.js';
import { inWords } from './proven.js';
import { styles } from './styles.js';
import { secondsSince, short } from './time.js';

/** How often the view is read again, in milliseconds. */
const REFRESH = 30_000;

const WORST = ['refused', 'clock', 'failing', 'stopped', 'starting', 'catching_up', 'left', 'live'];
const STATES = new Map(
  Object.entries({
    starting: 'starting',
    live: 'up to date',
    catching_up: 'catching up',
    failing: 'failing',
    refused: 'credential refused',
    clock: 'a clock is wrong',
    left: 'left the organization',
    stopped: 'not polled',
  }),
);

/** @param {HTMLElement} main */
export async function show(main) {
  document.title = 'Sources · orgtrail';
  await styles();
  const page = el('section', { class: 'page' }, el('h1', {}, 'Sources'), el('p', { class: 'dim' }, 'Loading…'));
  put(main, page);
  await refresh(main, page);
}

/** @param {HTMLElement} main @param {HTMLElement} page */
async function refresh(main, page) {
  try {
    const [{ sources }, proven] = await Promise.all([ask('/v1/sources'), coverage()]);
    fill(page, sources, proven);
    setTimeout(() => again(main, page), REFRESH);
  } catch (error) {
    put(page, el('h1', {}, 'Sources'), el('p', { class: 'error' }, /** @type {Error} */ (error).message));
  }
}

/** Shows the sources as they are now, if they are still in sight and no link among them has the focus. @param {HTMLElement} main @param {HTMLElement} page */
function again(main, page) {
  if (!page.isConnected) return;
  if (document.hidden || page.contains(document.activeElement)) setTimeout(() => again(main, page), REFRESH);
  else refresh(main, page);
}

/** What is proven of each source, from all pages. A source may go on on the next page. @returns {Promise<Map<string, any>>} */
async function coverage() {
  const found = new Map();
  let cursor = '';
  do {
    const page = await ask('/v1/coverage', { cursor });
    for (const one of page.sources) {
      const known = found.get(one.source);
      if (!known) found.set(one.source, one);
      else for (const part of ['intervals', 'gaps']) known[part] = known[part].concat(one[part]);
    }
    cursor = page.next_cursor;
  } while (cursor);
  return found;
}

/** @param {HTMLElement} page @param {any[]} sources @param {Map<string, any>} proven */
function fill(page, sources, proven) {
  const sorted = sources.toSorted((a, b) => WORST.indexOf(a.state) - WORST.indexOf(b.state) || b.events - a.events);
  const all = [...proven.values()].flatMap((one) => [...one.intervals, ...one.gaps]);
  const from = all.reduce((least, one) => Math.min(least, Date.parse(one.since) || least), Date.now() - 86400e3);
  const total = sources.reduce((sum, one) => sum + one.events, 0);
  put(
    page,
    el(
      'h1',
      {},
      'Sources ',
      el('span', { class: 'dim' }, `${counted(sources.length, 'source')}, ${counted(total, 'event')}`),
    ),
    lead(sorted),
    el(
      'div',
      { class: 'scroll wide', tabindex: '0', role: 'group', 'aria-label': 'All sources' },
      el(
        'table',
        { class: 'src' },
        el(
          'thead',
          {},
          el(
            'tr',
            {},
            ...['Source', 'Now', 'Events', `From ${short(new Date(from), state().tz)} to now`, 'Late by'].map(
              (name, i) => el('th', { scope: 'col', class: i === 2 ? 'num' : '' }, name),
            ),
          ),
        ),
        el('tbody', {}, ...sorted.map((one) => row(one, proven.get(one.source), from))),
      ),
    ),
    el(
      'p',
      { class: 'legend' },
      ...['complete', 'settling', 'missing'].map((name) =>
        el('span', {}, el('i', { class: name, 'aria-hidden': 'true' }), name),
      ),
    ),
    lateness(sorted),
  );
}

/** @param {any[]} sources */
function lead(sources) {
  const bad = sources.filter(({ state: now }) => ['refused', 'clock', 'failing'].includes(now));
  if (!bad.length) return el('p', { class: 'lead' }, 'All sources are being read.');
  return el(
    'p',
    { class: 'lead' },
    el('b', {}, `${counted(bad.length, 'source')} cannot be read: `),
    bad
      .slice(0, 5)
      .map((one) => `${one.name ?? one.source} (${STATES.get(one.state)})`)
      .join(', '),
  );
}

/** @param {any} one @param {any} proven @param {number} from */
function row(one, proven, from) {
  const now = STATES.get(one.state) ?? one.state;
  const isBad = ['refused', 'clock', 'failing'].includes(one.state);
  return el(
    'tr',
    { class: isBad ? 'worst' : '' },
    el(
      'th',
      { scope: 'row' },
      el(
        'a',
        {
          href: address({ ...DEFAULTS, tz: state().tz, q: `source:"${one.source}"` }),
          onclick: (/** @type {Event} */ event) => {
            event.preventDefault();
            go({ ...DEFAULTS, tz: state().tz, q: `source:"${one.source}"` });
          },
        },
        el('bdi', {}, one.name ?? one.source),
      ),
      el('span', { class: 'dim under' }, one.source.replace('/', ' · ')),
    ),
    el('td', {}, now, el('span', { class: 'dim under' }, detail(one))),
    el('td', { class: 'num' }, grouped(one.events)),
    el('td', { class: 'proof' }, bar(proven, from), el('span', { class: 'dim under' }, gaps(proven))),
    el(
      'td',
      {},
      one.lateness ? `p99 ${lasting(one.lateness.p99_seconds)}` : '–',
      el(
        'span',
        { class: 'dim under' },
        one.upstream_lag ? `visible after ${lasting(one.upstream_lag.p50_seconds)}` : '',
      ),
    ),
  );
}

/** @param {any} one */
function detail(one) {
  if (one.last_error && one.failing_since)
    return `since ${short(one.failing_since, state().tz)}: ${one.last_error.message}`;
  if (!one.backfill_done && one.backfilled_to) return `history read back to ${short(one.backfilled_to, state().tz)}`;
  return one.last_sealed_at ? `read ${lasting(secondsSince(one.last_sealed_at))} ago` : '';
}

/** @param {any} proven @param {number} from */
function bar(proven, from) {
  const to = Date.now();
  const piece = (/** @type {any} */ one, /** @type {string} */ kind) => {
    const part = el('span', { class: kind });
    const start = Math.max(from, Date.parse(one.since) || from);
    part.style.insetInlineStart = `${(100 * (start - from)) / (to - from)}%`;
    part.style.inlineSize = `max(1px, ${(100 * (Math.min(to, Date.parse(one.before) || to) - start)) / (to - from)}%)`;
    return part;
  };
  return el(
    'div',
    { class: 'cover', 'aria-hidden': 'true' },
    ...(proven?.intervals ?? []).map((/** @type {any} */ one) => piece(one, one.state)),
    ...(proven?.gaps ?? []).map((/** @type {any} */ one) => piece(one, one.reason === 'not_yet' ? 'later' : 'missing')),
  );
}

/** The gaps in words. @param {any} proven */
function gaps(proven) {
  if (!proven) return 'nothing is known yet';
  const found = new Set(proven.gaps.map((/** @type {any} */ one) => one.reason));
  found.delete('not_yet');
  const reasons = [...found].map(inWords).join(', ');
  return reasons ? `missing: ${reasons}` : 'nothing missing but the newest moments';
}
