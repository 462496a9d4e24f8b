// What the keys do. `main.js` listens for them: they are off inside text fields, and with Ctrl, Alt or Meta.

import { go, state } from './state.js';

/**
 * @param {string} key
 * @param {Element} target
 * @param {import('./events.js').Events | undefined} view
 * @returns {unknown}
 */
export function act(key, target, view) {
  if (key === '?') return import('./help.js').then(({ help }) => help());
  if (key === 'Escape' && state().view === 'alerts') return (go(state().event ? { event: '' } : { alert: '' }), true);
  if (!view || state().view !== 'events') return false;
  const { list, line, when } = view;
  switch (key) {
    case '/':
      return (line.input.focus(), line.input.select(), true);
    case 't':
      return (when.since.focus(), when.since.select(), true);
    case 'l':
      return (view.goLive(), true);
    case 'j':
    case 'k':
      return (list.move((move) => move.step(list, key === 'j' ? 1 : -1)), true);
    case 'o':
      return (list.move((move) => move.open(list)), true);
    case '[':
    case ']':
      return state().event && (list.move((move) => move.step(list, key === ']' ? 1 : -1)), true);
    case 'f':
    case 'x':
      return filter(target, key === 'x');
    case 'Escape':
      return state().event && (go({ event: '' }), true);
    default:
      return false;
  }
}

/** @param {Element} target @param {boolean} not */
function filter(target, not) {
  const { field, value } = /** @type {HTMLElement | null} */ (target.closest('[data-field]'))?.dataset ?? {};
  if (field === undefined || value === undefined) return false;
  import('./edit.js').then(({ only, toggled }) =>
    go({ q: not ? toggled(state().q, field, value, true) : only(state().q, field, value) }),
  );
  return true;
}
