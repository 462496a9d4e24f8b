// The list of keys.

import { el } from './dom.js';
import { dialog } from './dialog.js';

const KEYS = [
  ['/', 'query'],
  ['t', 'time'],
  ['j  k', 'next and previous row'],
  ['o  Enter', 'open the event'],
  ['[  ]', 'previous and next event in the drawer'],
  ['f', 'only the focused value'],
  ['x', 'without the focused value'],
  ['l', 'live tail'],
  ['Escape', 'close'],
  ['?', 'this list'],
  ['←  →', 'in the histogram: move. Shift extends, Enter zooms, Backspace returns.'],
];

export const help = () =>
  dialog(
    'Keys',
    el(
      'dl',
      { class: 'keys' },
      ...KEYS.flatMap(([key, does]) => [el('dt', {}, el('kbd', {}, key)), el('dd', {}, does)]),
    ),
  );
