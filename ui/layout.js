// Where the parts of the view of events are.

import { el, button } from './dom.js';
import { labelled } from './when.js';

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
  const sum = el(
    'div',
    { class: 'sum' },
    total,
    zoomed,
    histogram.said,
    labelled('Split by', histogram.split),
    labelled('Coverage of', strip.source),
  );
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

/**
 * Marks what is shown as the answer to another question than the one that is asked: `old` while its own answer is awaited, `stale`
 * if there is none. What is done with an answer can only be done with that of the question in sight.
 * @param {import('./events.js').Events} view
 * @param {'' | 'old' | 'stale'} name
 */
export function mark(view, name) {
  for (const { classList } of [view.over, view.body]) {
    classList.toggle('old', name === 'old');
    classList.toggle('stale', name === 'stale');
  }
  for (const one of [view.live, view.copy, view.export]) if (one) one.disabled = name !== '';
}
