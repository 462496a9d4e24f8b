// Exports exactly what is shown: the same filters, and the range of time as it was when the list was answered.

import { el } from './dom.js';
import { filters, parameters } from './api.js';
import { dialog } from './dialog.js';
import { absolute } from './link.js';
import { counted } from './number.js';
import { state } from './state.js';

const FORMATS = { ndjson: 'NDJSON: every entry exactly as sent, with its SHA-256', csv: 'CSV: for spreadsheets' };

/** @param {any} answer */
export async function open(answer) {
  const of = answer?.of ?? state();
  const { order } = of;
  const address = (/** @type {string} */ format) =>
    `/v1/export?${parameters({ ...filters(absolute(of, answer)), order: order === 'desc' ? '' : order, format })}`;
  const missing = Object.keys(answer?.coverage?.missing_by_reason ?? {}).filter((reason) => reason !== 'not_yet');
  await dialog(
    'Export',
    el(
      'p',
      {},
      answer ? `${counted(answer.count, 'event')}, as listed.` : 'All events of this question.',
      missing.length ? ` The range is not complete: ${missing.join(', ')}.` : '',
    ),
    el(
      'ul',
      { class: 'columns' },
      ...Object.entries(FORMATS).map(([format, text]) =>
        el('li', {}, el('a', { href: address(format), download: `events.${format}` }, text)),
      ),
    ),
    el('p', { class: 'dim' }, 'A download that ends normally is whole. It breaks off visibly otherwise.'),
  );
}
