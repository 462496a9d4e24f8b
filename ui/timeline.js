// What happened around an event: everything, or by the same actor, from the same address, with the same resource.

import { el, put, button } from './dom.js';
import { ask } from './api.js';
import { cut } from './cells.js';
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

/** @param {any} event */
export function timeline(event) {
  const list = el('ol', { class: 'tl' });
  const chosen = NAMES.has(state().around) ? state().around : 'actor';
  const kinds = [...NAMES].filter(([by]) => by !== 'token' || event.entry?.actor?.token_id);
  const switches = kinds.map(([by, name]) =>
    el(
      'button',
      {
        type: 'button',
        role: 'switch',
        'aria-checked': String(by === chosen),
        onclick: () => go({ around: by }, { replace: true }),
      },
      name,
    ),
  );
  load(list, event, chosen).catch((error) => put(list, el('li', { class: 'error' }, error.message)));
  return el(
    'section',
    { role: 'region', 'aria-label': 'Timeline' },
    el('h3', {}, 'Timeline'),
    el('div', { class: 'seg' }, ...switches),
    list,
  );
}

/** How many events are shown before and after the event, and how many are read to find its place. */
const BESIDE = 10;
const READ = 500;
/** How far away events may be: less where there are more of them. */
const WITHIN = ['30m', '3m', '20s'];

/** @param {Element} list @param {any} event @param {string} by */
async function load(list, event, by) {
  const { tz } = state();
  const isResource = by === 'resource';
  const events = isResource ? await history(event) : await near(event, by);
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

/** The changes of the same resource, with what each of them changed. @param {any} event @returns {Promise<any[]>} */
async function history(event) {
  const { changes } = await ask(`/v1/events/${event.seq}/history`, { around: true, order: 'desc', limit: 2 * BESIDE });
  return changes.map((/** @type {any} */ change) => ({
    ...change.event,
    changed: change.diff?.map((/** @type {any} */ one) => cut(one.path, 80)),
  }));
}

/** The events just before and after an event. @param {any} event @param {string} by @returns {Promise<any[]>} */
async function near(event, by) {
  let found = [];
  for (const within of WITHIN) {
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
  return found;
}
