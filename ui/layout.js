// Where the parts of the view of events are.

import { el, button } from './dom.js';

/** The query, and what can be done with its answer. @param {import('./events.js').Events} view */
export function asking(view) {
  const opens = (/** @type {string} */ name, /** @type {'./columns.js' | './saved.js'} */ file) =>
    button(name, () => view.dialog(file));
  const line = el(
    'search',
    { class: 'ask' },
    view.line.root,
    view.live,
    opens('Columns', './columns.js'),
    opens('Save', './saved.js'),
    view.export,
    view.copy,
  );
  return el(
    'div',
    { class: 'asking' },
    line,
    el('div', { class: 'under-line' }, view.chips, view.when.root, view.when.error),
  );
}

/** The total, the histogram, and what is proven below it. @param {import('./events.js').Events} view */
export function overTime({ total, zoomed, histogram, strip }) {
  const sum = el('div', { class: 'sum' }, total, zoomed, histogram.said, histogram.split, strip.source);
  return el(
    'section',
    { class: 'time', 'aria-label': 'Over time' },
    sum,
    strip.said,
    histogram.root,
    strip.root,
    histogram.table,
  );
}
