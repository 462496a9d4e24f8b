// Takes unknown fields out of a view: its link may be older than the log, or of someone who sees more.

import { DEFAULTS } from './state.js';

/** The view without what the failure names; without all that could be meant, if it names nothing that is there. @param {import('./api.js').Failure} failure @param {import('./state.js').State} now */
export function without({ message, parameter }, { facets, cols }) {
  const name = /`([^`]+)`/.exec(message)?.[1] ?? '';
  const others = (/** @type {string[]} */ all) => all.filter((one) => one !== name);
  if (parameter === 'histogram_by') return { by: '' };
  if (parameter === 'facet') return { facets: facets.includes(name) ? others(facets) : DEFAULTS.facets };
  return { cols: cols.length > 1 && cols.includes(name) ? others(cols) : DEFAULTS.cols };
}
