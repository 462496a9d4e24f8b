// Numbers as people read them.

const GROUPED = new Intl.NumberFormat('en');

/** @param {number} n */
export const grouped = (n) => GROUPED.format(n);

/**
 * A count with its noun: "1 event", "6,000 events".
 * @param {number} n
 * @param {string} noun
 */
export const counted = (n, noun) => `${grouped(n)} ${noun}${n === 1 ? '' : 's'}`;

/**
 * A length of time: "40 s", "12 min", "3 h", "9 days".
 * @param {number} seconds
 */
export function lasting(seconds) {
  if (seconds < 100) return `${Math.round(seconds)} s`;
  if (seconds < 100 * 60) return `${Math.round(seconds / 60)} min`;
  if (seconds < 72 * 3600) return `${Math.round(seconds / 3600)} h`;
  return counted(Math.round(seconds / 86400), 'day');
}
