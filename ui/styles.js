// Loads the rest of the styles, which the first view does not need.

import { el } from './dom.js';

/** @type {Promise<void> | undefined} */
let loaded;

/** Resolves when the styles apply, so that nothing is shown without them. */
export function styles() {
  loaded ??= new Promise((resolve) => {
    const link = el('link', {
      rel: 'stylesheet',
      href: new URL('./more.css', import.meta.url).href,
      onload: () => resolve(),
      onerror: () => resolve(),
    });
    document.head.append(link);
  });
  return loaded;
}
