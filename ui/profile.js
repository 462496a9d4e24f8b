// A profile: what one actor, token, address or resource was seen with, first and last.

import { el, put, button } from './dom.js';
import { ask, filters } from './api.js';
import { hours } from './hours.js';
import { counted, grouped } from './number.js';
import { said } from './proven.js';
import { DEFAULTS, go, state } from './state.js';
import { styles } from './styles.js';
import { full, short } from './time.js';
import { written } from './query.js';

const LISTS = {
  actions: ['Actions', 'action.type'],
  products: ['Products', 'resource.product'],
  actors: ['Actors', 'actor.email'],
  addresses: ['Addresses', 'actor.ip_address'],
  tokens: ['Tokens', 'actor.token_id'],
  user_agents: ['User agents', 'raw.user_agent'],
  accounts: ['Accounts', 'account.id'],
};
const FIELDS = new Map(Object.entries({ tokens: 'actor.token_id', ips: 'actor.ip_address', resources: 'resource.id' }));

/** @param {HTMLElement} main */
export async function show(main) {
  await styles();
  const { of, since, before, tz } = state();
  const kind = of.split('/')[0];
  const value = of.slice(kind.length + 1);
  document.title = `${value} · orgtrail`;
  const field = FIELDS.get(kind) ?? (value.includes('@') ? 'actor.email' : 'actor.id');
  const page = el(
    'section',
    { class: 'page', role: 'region', 'aria-label': `Profile of ${value}` },
    el('h1', {}, el('bdi', {}, value)),
    el('p', { class: 'dim' }, 'Loading…'),
  );
  put(main, page);
  try {
    const path = `/v1/${kind}/${encodeURIComponent(value)}`;
    const given = filters({ ...state(), q: '', since, before });
    const asked = { ...given, q: `${field}:${written(field, value)}` };
    const [profile, { buckets }, { merged }] = await Promise.all([
      ask(path, given),
      ask('/v1/histogram', { ...asked, interval: 'auto' }),
      ask('/v1/coverage', { ...given, q: '', since: since || '0001-01-01T00:00:00Z', merged: true }),
    ]);
    fill(page, value, field, profile, buckets, tz);
    page
      .querySelector('.lead')
      ?.before(el('p', { class: 'proven' }, 'The log of this time: ', ...said(profile.coverage, merged), '.'));
    page.append((await hours(asked, profile)) ?? '');
  } catch (error) {
    put(page, el('h1', {}, el('bdi', {}, value)), el('p', { class: 'error' }, /** @type {Error} */ (error).message));
  }
}

/** @param {HTMLElement} page @param {string} value @param {string} field @param {any} profile @param {{time: string, count: number}[]} buckets @param {string} tz */
function fill(page, value, field, profile, buckets, tz) {
  const when = (/** @type {string | null} */ time) =>
    time ? el('time', { datetime: time }, `${full(time, tz)} ${tz}`) : 'never';
  const to = (/** @type {string} */ q) => go({ ...DEFAULTS, tz, q });
  put(
    page,
    el('h1', {}, el('bdi', {}, value)),
    el(
      'dl',
      { class: 'facts' },
      el('div', {}, el('dt', {}, 'First seen'), el('dd', {}, when(profile.first_seen))),
      el('div', {}, el('dt', {}, 'Last seen'), el('dd', {}, when(profile.last_seen))),
    ),
    el(
      'p',
      { class: 'lead' },
      button(counted(profile.count, 'event'), () => to(`${field}:${written(field, value)}`)),
    ),
    activity(buckets, tz),
    ends(buckets, tz),
    el(
      'div',
      { class: 'lists' },
      ...Object.entries(LISTS)
        .filter(([name]) => profile[name]?.length)
        .map(([name, [heading, of]]) =>
          el(
            'section',
            { 'aria-label': heading },
            el('h2', {}, heading),
            el(
              'ul',
              {},
              ...profile[name].map((/** @type {any} */ one) =>
                el(
                  'li',
                  {},
                  button(el('bdi', {}, one.label ?? one.value), () =>
                    to(`${field}:${written(field, value)} ${of}:${written(of, one.value)}`),
                  ),
                  el('span', { class: 'dim' }, grouped(one.count)),
                ),
              ),
            ),
          ),
        ),
    ),
  );
}

/** The ends of the time that is shown. @param {{time: string}[]} buckets @param {string} tz */
function ends(buckets, tz) {
  if (!buckets.length) return null;
  const at = (/** @type {number} */ i) => el('span', {}, short(buckets.at(i)?.time ?? '', tz));
  return el('p', { class: 'ends', 'aria-hidden': 'true' }, at(0), at(-1));
}

/** When it was active. @param {{time: string, count: number}[]} buckets @param {string} tz */
function activity(buckets, tz) {
  const most = Math.max(1, ...buckets.map(({ count }) => count));
  return el(
    'div',
    { class: 'activity', role: 'img', 'aria-label': `Activity over time, at most ${counted(most, 'event')} at once` },
    ...buckets.map(({ time, count }) => {
      const bar = el('span', { title: `${full(time, tz)}: ${counted(count, 'event')}` });
      bar.style.blockSize = `${(100 * count) / most}%`;
      return bar;
    }),
  );
}
