// Saved searches: own ones, and those that others share.

import { el, put, button } from './dom.js';
import { ask } from './api.js';
import { dialog } from './dialog.js';
import { address, go, parse, state } from './state.js';

export async function open() {
  const list = el('ul', { class: 'columns' });
  const trouble = el('p', { class: 'error', role: 'alert' });
  const name = el('input', { type: 'text', 'aria-label': 'Name', required: true, maxlength: 200 });
  const shared = el('input', { type: 'checkbox' });
  const tried = async (/** @type {() => Promise<unknown>} */ task) => {
    try {
      trouble.textContent = '';
      await task();
    } catch (error) {
      trouble.textContent = /** @type {Error} */ (error).message;
    }
  };
  /** Saves again what was deleted. @param {any} one */
  const undo = ({ name, state, q, shared }) =>
    el(
      'span',
      { class: 'dim' },
      'Deleted ',
      el('bdi', {}, name),
      '. ',
      button('Undo', () =>
        tried(async () => {
          const body = { name, shared, ...(state ? { state } : { q }) };
          await ask('/v1/searches', {}, { method: 'POST', body });
          await show();
        }),
      ),
    );
  const show = () =>
    tried(async () => {
      const { searches } = await ask('/v1/searches', { limit: 1000 });
      put(
        list,
        ...searches.map((/** @type {any} */ one) =>
          el(
            'li',
            {},
            button(el('bdi', {}, one.name), () => {
              box.close();
              go({ ...parse(one.state ?? `?q=${encodeURIComponent(one.q ?? '')}`), view: 'events' });
            }),
            el('span', { class: 'dim grow' }, one.shared ? 'shared' : ''),
            one.own !== false &&
              button(
                '×',
                () =>
                  tried(async () => {
                    await ask(`/v1/searches/${encodeURIComponent(one.id)}`, {}, { method: 'DELETE' });
                    await show();
                    put(trouble, undo(one));
                  }),
                { 'aria-label': `Delete ${one.name}` },
              ),
          ),
        ),
      );
    });
  const save = () =>
    tried(async () => {
      await ask(
        '/v1/searches',
        {},
        {
          method: 'POST',
          body: { name: name.value, state: address({ ...state(), event: '' }), shared: shared.checked },
        },
      );
      name.value = '';
      await show();
    });
  const box = await dialog(
    'Saved searches',
    list,
    el(
      'form',
      {
        onsubmit: (/** @type {Event} */ event) => {
          event.preventDefault();
          save();
        },
      },
      name,
      el('label', {}, shared, ' for all'),
      el('button', {}, 'Save this search'),
    ),
    trouble,
  );
  show();
}
