// The dialog of columns: which are shown, and in which order.

import { el, put, button } from './dom.js';
import { COMPOSED, heading } from './cells.js';
import { dialog } from './dialog.js';
import { isPath, offerFields } from './facet-search.js';
import { DEFAULTS, go, state } from './state.js';

export async function open() {
  const list = el('ul', { class: 'columns' });
  const field = el('input', {
    type: 'text',
    'aria-label': 'Add column',
    placeholder: 'actor.ip_address',
    autocomplete: 'off',
    spellcheck: 'false',
    onfocus: () => offerFields(field),
  });
  const show = () => {
    const { cols } = state();
    const set = (/** @type {string[]} */ next) => {
      const label = document.activeElement?.getAttribute('aria-label') ?? '';
      go({ cols: next }, { replace: true });
      show();
      // The focus stays with its column; where its button cannot be used any more, with another one of it.
      const same = list.querySelector(`[aria-label="${CSS.escape(label)}"]`);
      const button = same?.matches(':disabled') ? same.parentElement?.querySelector('button:enabled') : same;
      /** @type {HTMLElement} */ (button ?? field).focus();
    };
    const others = [...COMPOSED.keys()].filter((name) => !cols.includes(name));
    put(
      list,
      ...cols.map((name, i) =>
        el(
          'li',
          {},
          el('span', { class: 'grow' }, heading(name)),
          button('↑', () => set(cols.with(i, cols[i - 1]).with(i - 1, name)), {
            'aria-label': `Move ${heading(name)} up`,
            disabled: i === 0,
          }),
          button('↓', () => set(cols.with(i, cols[i + 1]).with(i + 1, name)), {
            'aria-label': `Move ${heading(name)} down`,
            disabled: i === cols.length - 1,
          }),
          button('×', () => set(cols.filter((one) => one !== name)), {
            'aria-label': `Remove ${heading(name)}`,
            disabled: cols.length === 1,
          }),
        ),
      ),
      ...others.map((name) =>
        el(
          'li',
          {},
          button(`Add ${heading(name)}`, () => set([...cols, name])),
        ),
      ),
    );
  };
  const error = el('p', { class: 'error', id: 'column-error', role: 'alert' });
  const add = async () => {
    const name = field.value.trim();
    if (name && !COMPOSED.has(name) && !(await isPath(name, field, error))) return;
    if (name && !state().cols.includes(name)) go({ cols: [...state().cols, name] }, { replace: true });
    field.value = '';
    show();
  };
  show();
  await dialog(
    'Columns',
    list,
    el(
      'form',
      {
        onsubmit: (/** @type {Event} */ event) => {
          event.preventDefault();
          add();
        },
      },
      el('span', {}, field),
      el('button', {}, 'Add'),
    ),
    error,
    button('As usual', () => {
      go({ cols: DEFAULTS.cols }, { replace: true });
      show();
    }),
  );
}
