// The heads of the list's columns, and how wide the columns are.

import { el, button } from './dom.js';
import { heading } from './cells.js';
import { go, state } from './state.js';

const WIDTHS = new Map(
  Object.entries({
    time: '104px',
    actor: 'minmax(110px, 190px)',
    summary: 'minmax(200px, 1fr)',
    account: 'minmax(70px, 120px)',
  }),
);

/** The tracks of a grid. @param {string[]} cols */
export const tracks = (cols) => cols.map((name) => WIDTHS.get(name) ?? 'minmax(80px, 200px)').join(' ');

/** @param {string[]} cols */
export function heads(cols) {
  return cols.map((name) =>
    name === 'time' ? timeHead() : el('span', { role: 'columnheader', class: `c-${name}` }, heading(name)),
  );
}

/** The head of the column of times turns the order. */
function timeHead() {
  const isNewestFirst = state().order === 'desc';
  const turn = button(heading('time'), () => go({ order: isNewestFirst ? 'asc' : 'desc' }), {
    class: isNewestFirst ? 'newest' : 'oldest',
    title: isNewestFirst ? 'Newest first' : 'Oldest first',
  });
  return el(
    'span',
    { role: 'columnheader', class: 'c-time', 'aria-sort': isNewestFirst ? 'descending' : 'ascending' },
    turn,
  );
}
