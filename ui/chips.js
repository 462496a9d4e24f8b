// The query's parts as chips. A chip can be turned, switched off, edited and removed; the text of the others stays as typed.

import { el, put, button } from './dom.js';
import { go, state } from './state.js';
import { parts } from './query.js';
import { styles } from './styles.js';

/**
 * @param {HTMLElement} root
 * @param {(start: number, end: number) => void} edit
 */
export async function showChips(root, edit) {
  await styles();
  const { q, off } = state();
  const found = parts(q);
  const focused = root.contains(document.activeElement) ? /** @type {HTMLElement} */ (document.activeElement) : null;
  const index = focused ? [...root.children].findIndex((one) => one.contains(focused)) : 0;
  put(
    root,
    ...found.map((part) =>
      chip(part.text, part.not, {
        edit: () => edit(part.start, part.end),
        turn: () => change(({ replaced, turned }) => ({ q: replaced(q, part, turned(part)) })),
        toggle: () => change(({ removed }) => ({ q: removed(q, part), off: [...off, part.text] })),
        remove: () => change(({ removed }) => ({ q: removed(q, part) })),
      }),
    ),
    ...off.map((text, i) =>
      chip(text, parts(text)[0]?.not ?? false, {
        toggle: () => change(({ joined }) => ({ q: joined(q, text), off: off.toSpliced(i, 1) })),
        remove: () => go({ off: off.toSpliced(i, 1) }),
      }),
    ),
  );
  root.hidden = found.length + off.length === 0;
  if (focused) refocus(root, focused.dataset.key ?? '', index, edit);
}

/** The focus stays with its chip, goes to the next one if that is gone, and to the query line after the last one. @param {HTMLElement} root @param {string} key @param {number} index @param {(start: number, end: number) => void} edit */
function refocus(root, key, index, edit) {
  const next = root.children[Math.min(index, root.children.length - 1)]?.lastElementChild;
  const again = root.querySelector(`[data-key="${CSS.escape(key)}"]`) ?? next;
  if (again instanceof HTMLElement) again.focus();
  else edit(0, 0);
}

/** @param {(edit: typeof import('./edit.js')) => Partial<import('./state.js').State>} by */
const change = async (by) => go(by(await import('./edit.js')));

/**
 * @param {string} text
 * @param {boolean} not
 * @param {{edit?: () => void, turn?: () => void, toggle: () => void, remove: () => void}} does
 */
function chip(text, not, { edit, turn, toggle, remove }) {
  const shown = text.length > 60 ? `${text.slice(0, 59)}…` : text;
  const isActive = Boolean(edit);
  const key = (/** @type {string} */ name) => `${name} ${text.replace(/^(?:-|!|NOT\s+)/, '')}`;
  return el(
    'li',
    { class: `chip${not ? ' no' : ''}${isActive ? '' : ' off'}` },
    el('button', {
      type: 'button',
      role: 'switch',
      'aria-checked': String(isActive),
      'aria-label': `Active ${text}`,
      title: isActive ? 'Switch off' : 'Switch on',
      class: 'dot',
      'data-key': key('dot'),
      onclick: toggle,
    }),
    edit
      ? button(el('bdi', {}, shown), edit, { class: 'text', title: 'Edit', 'data-key': key('edit') })
      : el('bdi', { class: 'text' }, shown),
    turn &&
      button(not ? '+' : '−', turn, {
        'aria-label': `${not ? 'Include' : 'Exclude'} ${text}`,
        title: not ? 'Include' : 'Exclude',
        'data-key': key('turn'),
      }),
    button('×', remove, { 'aria-label': `Remove ${text}`, title: 'Remove' }),
  );
}
