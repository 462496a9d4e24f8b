// Moves in the list, and opens its events.

import { ask } from './api.js';
import { go, state } from './state.js';

/** @typedef {import('./list.js').List} List */

/** The event of a row. @param {List} list @param {number} index */
function at(list, index) {
  const page = pageOf(list, index);
  return page?.events[index - page.first];
}

/** @param {List} list @param {number} index */
const pageOf = (list, index) => list.pages.find(({ first, events }) => index >= first && index < first + events.length);

/** Moves the focus to a row. Beyond the last one, the next page is fetched. @param {List} list @param {number} index */
export function focus(list, index) {
  const page = pageOf(list, index);
  if (!page) return list.next();
  list.draw(page);
  list.grid.querySelector('.row[tabindex="0"]')?.setAttribute('tabindex', '-1');
  list.current = index;
  const row = /** @type {HTMLElement | null} */ (page.box.querySelector(`[data-index="${index}"]`));
  row?.setAttribute('tabindex', '0');
  row?.focus({ preventScroll: true });
  row?.scrollIntoView({ block: 'nearest' });
}

/** The next or the previous row; in the drawer too, if it is open. @param {List} list @param {number} by */
export async function step(list, by) {
  const open = state().event;
  if (open && String(at(list, list.current)?.seq) !== open) {
    // The open event is not among the rows that were fetched.
    const next = await beside(list, open, by);
    if (next && state().event === open) go({ event: String(next.seq) }, { replace: true });
    return;
  }
  focus(list, Math.max(0, list.current + by));
  const event = at(list, list.current);
  if (state().event && event) go({ event: String(event.seq) }, { replace: true });
}

/**
 * The event beside another one in the order of the list, wherever that is.
 * @param {List} list
 * @param {string} seq
 * @param {number} by
 */
async function beside(list, seq, by) {
  const { asked, range } = list.answer;
  const { time, received_at: received } = await ask(`/v1/events/${encodeURIComponent(seq)}`);
  const isOlder = by > 0 === (asked.order !== 'asc');
  const from = Date.parse(time ?? received);
  const bounds = isOlder
    ? { since: range.since ?? '', before: new Date(from + 1).toISOString() }
    : { since: new Date(from).toISOString(), before: range.before ?? '' };
  const order = isOlder ? '' : 'asc';
  const { events } = await ask('/v1/events', { ...asked, ...bounds, order, limit: BESIDE, highlight: '' });
  const i = events.findIndex((/** @type {{seq: number}} */ one) => String(one.seq) === seq);
  return events[i + 1];
}

/** How many events are read to find the one beside another: more than have one time. */
const BESIDE = 200;

/** @param {List} list */
export function open(list) {
  const event = at(list, Math.max(0, list.current));
  if (event) go({ event: String(event.seq) });
}

/** @param {List} list @param {string} key */
export function key(list, key) {
  const { current, pages } = list;
  const last = pages.at(-1);
  const to = {
    ArrowDown: current + 1,
    ArrowUp: current - 1,
    PageDown: current + 20,
    PageUp: current - 20,
    Home: 0,
    End: last ? last.first + last.events.length - 1 : 0,
  }[key];
  if (to === undefined) open(list);
  else focus(list, Math.max(0, to));
}

/** @param {List} list @param {MouseEvent} event */
export function click(list, event) {
  const row = /** @type {HTMLElement | null} */ (/** @type {HTMLElement} */ (event.target).closest('.row[data-index]'));
  if (!row || String(getSelection())) return;
  focus(list, Number(row.dataset.index));
  open(list);
}
