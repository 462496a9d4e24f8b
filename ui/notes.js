// What an answer does not have, in words.

import { el, button } from './dom.js';
import { grouped } from './number.js';
import { lostOf } from './proven.js';
import { go, state } from './state.js';

/** @param {any} answer */
export function notes({ count, index, coverage }) {
  const said = [];
  if (index.state === 'rebuilding') {
    said.push(
      `The index is being rebuilt: ${grouped(index.searchable)} of ${grouped(index.held)} events can be found.`,
    );
  }
  if (count === 0) said.push(nothing(coverage));
  const all = count === 0 && state().since && button('Search all time', () => go({ since: '', before: '' }));
  return said.map((text, i) => el('p', {}, text, ' ', i === said.length - 1 && all));
}

/** That nothing was found, and whether that means something. @param {any} coverage */
function nothing({ state: proven, missing_by_reason: reasons }) {
  const lost = lostOf(reasons);
  if (lost.length) return `Nothing found, but this range is not complete: ${lost.join('; ')}.`;
  if (proven === 'complete') return 'Nothing found in this range, which is proven complete.';
  return 'Nothing found in this range. Late entries may still come.';
}
