// The heads of the list's columns, and how wide the columns are.

import { el, button } from './dom.js';
import { heading } from './cells.js';
import { go, state } from './state.js';

/** The least and the most width of the composed columns, in pixels, and the part of the list that is the most. */
const WIDTHS = new Map(
  Object.entries({
    time: [104, '104px'],
    actor: [110, 'min(190px, 20%)'],
    summary: [200, '1fr'],
    account: [70, 'min(120px, 12%)'],
  }),
);
const USUAL = [80, '200px'];
const widthOf = (/** @type {string} */ name) => /** @type {[number, string]} */ (WIDTHS.get(name) ?? USUAL);

/** The tracks of a grid. @param {string[]} cols */
export const tracks = (cols) =>
  cols
    .map(widthOf)
    .map(([least, most]) => `minmax(${least}px, ${most})`)
    .map((track, i) => (cols[i] === 'account' ? `var(--account, ${track})` : track))
    .join(' ');

/** How high a row is: one line if the columns fit beside each other in `width`, otherwise several. @param {string[]} cols @param {number} width */
function rowHeight(cols, width) {
  const needed = cols.reduce((sum, name) => sum + widthOf(name)[0] + 10, 21);
  return needed <= width ? ROW : 58 + 22 * cols.filter((name) => !WIDTHS.has(name)).length;
}

/** The height of a row of one line. */
export const ROW = 33;

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

/** Fits the rows to the list's width. The open or first row in sight stays at its place. @param {import('./list.js').List} list */
export function fit(list) {
  const height = rowHeight(state().cols, list.root.clientWidth);
  if (height === list.rowHeight || !list.root.clientWidth) return;
  const rows = [...list.body.querySelectorAll('.row')].filter((row) => {
    const { top, bottom } = row.getBoundingClientRect();
    return bottom > 100 && top < innerHeight;
  });
  const kept = rows.find((row) => row.ariaSelected === 'true') ?? rows[0];
  const topOf = () => kept?.getBoundingClientRect().top ?? 0;
  const top = topOf();
  list.rowHeight = height;
  const { classList, style } = list.root.parentElement ?? list.grid;
  classList.toggle('stacked', height > ROW);
  style.setProperty('--row', `${height}px`);
  for (const page of list.pages) {
    page.height = list.heightOf(page);
    page.box.style.blockSize = `${page.height}px`;
  }
  scrollBy(0, topOf() - top);
}
