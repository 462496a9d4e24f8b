// What an event changed: before and after, side by side or one below the other.

import { el, put, button } from './dom.js';
import { ask } from './api.js';
import { cut } from './cells.js';
import { short } from './time.js';
import { state } from './state.js';

/** @typedef {{path: string, change: 'added' | 'removed' | 'changed', before?: unknown, after?: unknown}} Change */

/** The most characters of a value that are shown. */
const MOST = 2000;

let isInline = false;

/** @param {HTMLElement} place @param {number} seq */
export async function changes(place, seq) {
  const diff = await ask(`/v1/events/${seq}/diff`);
  const all = /** @type {Change[]} */ ([...diff.removed, ...diff.changed, ...diff.added]);
  const show = () =>
    put(
      place,
      note(diff),
      all.length > 0 &&
        button(isInline ? 'Side by side' : 'Inline', () => {
          isInline = !isInline;
          show();
        }),
      all.length > 0 && (isInline ? inline(all) : sideBySide(all)),
      diff.more && el('p', { class: 'dim' }, 'There are more changes than are shown.'),
    );
  show();
  return diff;
}

/** What the comparison rests on, in a sentence. @param {any} diff */
function note({ against, basis, status, added, removed, changed }) {
  const where = against
    ? `compared with event ${against.seq}, ${short(against.time, state().tz)}`
    : 'no state before is known';
  const rests =
    status === 'partial'
      ? `, from ${basis === 'request' ? 'requests' : `${basis}s`} alone: there may be other changes`
      : '';
  const none = against && !added.length && !removed.length && !changed.length ? 'Nothing changed; ' : '';
  return el('p', { class: 'dim' }, `${none}${where}${rests}`);
}

/** @param {Change[]} all */
function sideBySide(all) {
  const cell = (/** @type {unknown} */ value, /** @type {string} */ kind) =>
    el(
      'td',
      { class: value === undefined ? 'gone' : kind },
      value === undefined ? (kind === 'del' ? 'not there' : 'removed') : el('bdi', {}, text(value)),
    );
  return el(
    'table',
    { class: 'diff' },
    el(
      'thead',
      {},
      el(
        'tr',
        {},
        el('th', { scope: 'col' }, 'Path'),
        el('th', { scope: 'col' }, 'Before'),
        el('th', { scope: 'col' }, 'After'),
      ),
    ),
    el(
      'tbody',
      {},
      ...all.map(({ path, change, before, after }) =>
        el(
          'tr',
          {},
          el('th', { scope: 'row' }, el('bdi', {}, path)),
          cell(change === 'added' ? undefined : before, 'del'),
          cell(change === 'removed' ? undefined : after, 'add'),
        ),
      ),
    ),
  );
}

/** @param {Change[]} all */
function inline(all) {
  return el(
    'ul',
    { class: 'inline' },
    ...all.map(({ path, change, before, after }) =>
      el(
        'li',
        {},
        el('bdi', { class: 'dim' }, path),
        change !== 'added' && el('del', {}, text(before)),
        change !== 'removed' && el('ins', {}, text(after)),
      ),
    ),
  );
}

/** @param {unknown} value */
const text = (value) => cut(typeof value === 'string' ? value : JSON.stringify(value), MOST);
