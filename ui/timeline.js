// What happened around an event: everything, or by the same actor, from the same address, with the same resource.

import { el, put, button } from './dom.js';
import { ask } from './api.js';
import { cut } from './cells.js';
import { counted } from './number.js';
import { written } from './query.js';
import { go, state } from './state.js';
import { clock, short } from './time.js';

const NAMES = new Map(
  Object.entries({
    actor: 'Same actor',
    ip: 'Same address',
    resource: 'Same resource',
    token: 'Same token',
    all: 'Everything',
  }),
);

/** The fields that say what an event shares with others, in the list. */
const FIELDS = new Map(
  Object.entries({
    actor: ['actor.email', 'actor.id'],
    ip: ['actor.ip_address'],
    resource: ['resource.id'],
    token: ['actor.token_id'],
  }),
);

/** The most characters of a value that is searched as it is. */
const MOST_ASKED = 500;

/** Shows another timeline of the open event. */
export let turn = () => {};

/** @param {any} event */
export function timeline(event) {
  const list = el('ol', { class: 'tl' });
  const limits = el('p', { class: 'dim' });
  const kinds = [...NAMES].filter(([by]) => by !== 'token' || event.entry?.actor?.token_id);
  const switches = kinds.map(([by, name]) =>
    el('button', { type: 'button', role: 'switch', onclick: () => go({ around: by }, { replace: true }) }, name),
  );
  turn = () => {
    const chosen = NAMES.has(state().around) ? state().around : 'actor';
    kinds.forEach(([by], i) => switches[i].setAttribute('aria-checked', String(by === chosen)));
    load(list, limits, event, chosen).catch((error) => put(list, el('li', { class: 'error' }, error.message)));
  };
  turn();
  return el(
    'section',
    { role: 'region', 'aria-label': 'Timeline' },
    el('h3', {}, 'Timeline'),
    el('div', { class: 'seg' }, ...switches),
    list,
    limits,
  );
}

/** How many events are shown before and after the event, and how many are read to find its place. */
const BESIDE = 10;
const READ = 500;
/** How far away events may be: less where there are more of them. */
const WITHIN = ['30m', '3m', '20s'];

/** @param {Element} list @param {Element} limits @param {any} event @param {string} by */
async function load(list, limits, event, by) {
  const { tz } = state();
  const isResource = by === 'resource';
  const { events, text } = isResource ? await history(event) : await near(event, by);
  if (state().around !== by && NAMES.has(state().around)) return;
  put(limits, text);
  inAll(event, by).then((all) => all && state().around === by && put(limits, text, ' ', all));
  put(
    list,
    ...events.map((one) =>
      el(
        'li',
        { class: one.seq === event.seq ? 'now' : '' },
        el(
          'time',
          { datetime: one.time ?? one.received_at },
          isResource ? short(one.time ?? one.received_at, tz) : clock(one.time ?? one.received_at, tz)[0],
        ),
        ' ',
        one.seq === event.seq
          ? el('b', {}, el('bdi', {}, one.summary))
          : button(el('bdi', {}, one.summary), () => go({ event: String(one.seq) })),
        one.changed?.length > 0 && el('span', { class: 'dim' }, ` ${one.changed.slice(0, 3).join(', ')}`),
      ),
    ),
  );
  if (!events.length) put(list, el('li', { class: 'dim' }, 'Nothing else.'));
}

/** The fields, with their values, by which an event can be like others. @param {any} event @param {string} by @returns {[string, string][]} */
function sharedBy({ entry }, by) {
  const at = (/** @type {string} */ path) => path.split('.').reduce((of, name) => of?.[name], entry);
  const found = (FIELDS.get(by) ?? []).map((path) => /** @type {[string, any]} */ ([path, at(path)]));
  return found.filter(([, value]) => typeof value === 'string' && value);
}

/** A button that lists all events that share a value with this one, with their number. @param {any} event @param {string} by */
async function inAll(event, by) {
  const shared = sharedBy(event, by);
  if (!shared.length || shared.some(([, value]) => value.length > MOST_ASKED)) return null;
  const q = shared.map(([field, value]) => `${field}:${written(field, value)}`).join(' OR ');
  const { count } = await ask('/v1/count', { q }, { isAside: true }).catch(() => ({}));
  return count === undefined
    ? null
    : button(`${counted(count, 'event')} in all`, () => go({ q, since: '', before: '' }));
}

/** @typedef {{events: any[], text: string}} Found the events, and which of them these are, in words */

/** The changes of the same resource, with what each of them changed. @param {any} event @returns {Promise<Found>} */
async function history(event) {
  const limit = 2 * BESIDE;
  const { changes } = await ask(`/v1/events/${event.seq}/history`, { around: true, order: 'desc', limit });
  const events = changes.map((/** @type {any} */ change) => ({
    ...change.event,
    changed: change.diff?.map((/** @type {any} */ one) => cut(one.path, 80)),
  }));
  return { events, text: `At most ${limit} changes of this resource about this event.` };
}

/** "30m" as "30 minutes". @param {string} span */
const spoken = (span) => span.replace(/m$/, ' minutes').replace(/(?<=\d)s$/, ' seconds');

/** The events just before and after an event. @param {any} event @param {string} by @returns {Promise<Found>} */
async function near(event, by) {
  if (by !== 'all' && !sharedBy(event, by).length)
    return { events: [], text: `This event has no ${NAMES.get(by)?.replace('Same ', '')}.` };
  let found = [];
  let used = '';
  for (const within of WITHIN) {
    used = within;
    const { events } = await ask(`/v1/events/${event.seq}/around`, {
      by,
      within,
      limit: READ,
      order: 'desc',
      fields: 'action.type',
    });
    const at = events.findIndex((/** @type {any} */ one) => one.seq === event.seq);
    found = events.slice(Math.max(0, at - BESIDE), Math.max(0, at) + BESIDE + 1);
    if (at >= 0) break;
  }
  return { events: found, text: `Within ${spoken(used)}, at most ${BESIDE} before and ${BESIDE} after this event.` };
}
