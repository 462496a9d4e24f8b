// What the page shows, kept in its address and nowhere else. So back, forward, reload and a copied link show the same.

/**
 * @typedef {object} State
 * @property {string} view `events`, `alerts`, `sources` or `profile`
 * @property {string} q the query
 * @property {string[]} off parts of the query that are switched off
 * @property {string} since as typed; empty: from the beginning
 * @property {string} before as typed; empty: until now
 * @property {string} tz the zone of days and of written times
 * @property {'desc' | 'asc'} order
 * @property {string[]} cols the list's columns
 * @property {string[]} facets the counted fields
 * @property {string[]} rare facets that show their rarest values first
 * @property {string} by the field that splits the histogram; empty: none
 * @property {string} source whose coverage the strip shows; empty: all sources together
 * @property {string} event the seq of the open event
 * @property {string} around what the drawer's timeline shares with its event
 * @property {string} alert the id of the open alert
 * @property {string} rule only alerts of this rule
 * @property {string} level only alerts of this level
 * @property {string} state only alerts in this state
 * @property {string} of the subject of a profile: `actors/…`, `tokens/…`, `ips/…`, `resources/…`
 */

/** @type {State} */
export const DEFAULTS = {
  view: 'events',
  q: '',
  off: [],
  since: '',
  before: '',
  tz: 'UTC',
  order: 'desc',
  cols: ['time', 'actor', 'summary', 'account'],
  facets: ['action.type', 'action.result', 'actor.email', 'actor.ip_address', 'resource.product'],
  rare: [],
  by: 'action.result',
  source: '',
  event: '',
  around: 'actor',
  alert: '',
  rule: '',
  level: '',
  state: '',
  of: '',
};

// Lists whose items cannot contain a comma are joined by commas, the others repeat their name.
const JOINED = new Set(['cols', 'facets', 'rare']);

const VIEWS = new Set(['events', 'alerts', 'sources', 'profile']);

/** @type {Set<(state: State, before: State) => void>} */
const listeners = new Set();

/** @type {State} */
let current = parse(location.search);

export const state = () => current;

/**
 * Reads an address.
 * @param {string} search
 * @returns {State}
 */
export function parse(search) {
  const params = new URLSearchParams(search);
  const read = (/** @type {[string, string | string[]]} */ [name, usual]) => {
    const given = params.getAll(name);
    if (!given.length) return [name, usual];
    if (!Array.isArray(usual)) return [name, given[0]];
    return [name, JOINED.has(name) ? given[0].split(',').filter(Boolean) : given];
  };
  const found = Object.fromEntries(Object.entries(DEFAULTS).map(read));
  return /** @type {any} */ (VIEWS.has(found.view) ? found : { ...found, view: DEFAULTS.view });
}

/**
 * Writes an address. What is as usual is left out, and what needs no escape stays readable.
 * @param {State} wanted
 */
export function address(wanted) {
  const parts = [];
  for (const [name, usual] of Object.entries(DEFAULTS)) {
    const value = wanted[/** @type {keyof State} */ (name)];
    if (String(value) === String(usual)) continue;
    const texts = Array.isArray(value) ? (JOINED.has(name) ? [value.join(',')] : value) : [value];
    for (const text of texts) parts.push(`${name}=${readable(text)}`);
  }
  return parts.length ? `?${parts.join('&')}` : location.pathname;
}

/** @param {string} text */
function readable(text) {
  return encodeURIComponent(text)
    .replace(/%(?:3A|2F|40|2C|24|3B)/g, decodeURIComponent)
    .replaceAll('%20', '+');
}

/**
 * Changes what is shown.
 * @param {Partial<State>} changes
 * @param {{replace?: boolean, zoom?: boolean}} [how] `replace`: not a step of its own for "back". `zoom`: Backspace returns from it.
 */
export function go(changes, { replace = false, zoom = false } = {}) {
  const before = current;
  current = { ...current, ...changes };
  const to = address(current);
  if (to === address(before)) return;
  history[replace ? 'replaceState' : 'pushState']({ zoom: zoom || (replace && history.state?.zoom) }, '', to);
  tell(before);
}

/** Whether the step before this one can be returned to as a zoom. */
export const isZoomed = () => Boolean(history.state?.zoom);

/**
 * Calls `listener` after each change.
 * @param {(state: State, before: State) => void} listener
 */
export function listen(listener) {
  listeners.add(listener);
}

/** @param {State} before */
function tell(before) {
  for (const listener of listeners) listener(current, before);
}

addEventListener('popstate', () => {
  const before = current;
  current = parse(location.search);
  tell(before);
});
