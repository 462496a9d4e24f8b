// The last queries of this browser. They stay in it.

const KEY = 'orgtrail.recent';
const MOST = 12;

/** @returns {string[]} the newest first */
export function recall() {
  try {
    const found = JSON.parse(localStorage.getItem(KEY) ?? '[]');
    return Array.isArray(found) ? found.filter((q) => typeof q === 'string').slice(0, MOST) : [];
  } catch {
    return [];
  }
}

/** Forgets all, when the user signs out. */
export function forget() {
  try {
    localStorage.removeItem(KEY);
  } catch {
    // Storage is off: there is nothing.
  }
}

/** @param {string} q */
export function remember(q) {
  if (!q) return;
  try {
    localStorage.setItem(KEY, JSON.stringify([q, ...recall().filter((one) => one !== q)].slice(0, MOST)));
  } catch {
    // Storage is off or full: nothing is remembered.
  }
}
