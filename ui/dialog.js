// A dialog over the page. Escape and "Close" end it, and the focus returns to where it was.

import { el, button } from './dom.js';
import { styles } from './styles.js';

/**
 * @param {string} name
 * @param {...import('./dom.js').Child} children
 */
export async function dialog(name, ...children) {
  await styles();
  const box = el(
    'dialog',
    { 'aria-label': name, onclose: () => box.remove() },
    el('h2', {}, name),
    ...children,
    el(
      'p',
      { class: 'end' },
      button('Close', () => box.close()),
    ),
  );
  document.body.append(box);
  box.showModal();
  return box;
}
