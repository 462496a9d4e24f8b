// A link that shows the same to others, later: with absolute times.

import { address, state } from './state.js';
import { copy } from './value.js';

/**
 * The state with its range of time as absolute times. Without an end it ends with what the list could show.
 * @param {import('./state.js').State} shown
 * @param {any} answer
 */
export function absolute(shown, answer) {
  const { since, before } = answer?.range ?? {};
  return { ...shown, since: since ?? shown.since, before: before ?? endOf(answer) };
}

/** The moment after everything that an answer can have: when it came, or the newest event if that is later by its own clock. @param {any} answer */
function endOf(answer) {
  const newest = Date.parse(answer?.histogram?.buckets.at(-1)?.end ?? '') || 0;
  const came = answer?.came ?? Date.now();
  const events = (answer?.events ?? []).map((/** @type {any} */ { time }) => Date.parse(time) + 1 || 0);
  return new Date(Math.max(Math.min(newest || came, came), ...events)).toISOString();
}

/** @param {any} answer */
export async function copyLink(answer) {
  await copy(new URL(address(absolute(state(), answer)), location.href).href);
}
