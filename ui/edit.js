// Changes a query part by part. The text around a part stays as typed.

import { has, isAlternative, parts, same, written } from './query.js';

/** @typedef {import('./query.js').Part} Part */

/**
 * The query with a value of a field added, or removed if it is there already.
 * @param {string} query
 * @param {string} field
 * @param {string} value
 * @param {boolean} not
 */
export function toggled(query, field, value, not) {
  const kept = without(query, field, value);
  if (has(query, field, value) === (not ? 'without' : 'only')) return kept;
  const beside = not ? undefined : parts(kept).find((part) => part.field === field && !part.not && part.values);
  if (!beside?.values) return joined(kept, `${not ? '-' : ''}${field}:${written(field, value)}`);
  return replaced(kept, beside, values(field, [...beside.values, value], false));
}

/**
 * The query with the value alone of its field.
 * @param {string} query
 * @param {string} field
 * @param {string} value
 */
export function only(query, field, value) {
  return joined(others(query, field), `${field}:${written(field, value)}`);
}

/**
 * The query without its values of a field.
 * @param {string} query
 * @param {string} field
 */
export function others(query, field) {
  let kept = query;
  for (const part of parts(query).reverse()) if (part.field === field && part.values) kept = removed(kept, part);
  return kept;
}

/**
 * @param {string} query
 * @param {string} field
 * @param {string} value
 */
function without(query, field, value) {
  let kept = query;
  for (const part of parts(query).reverse()) {
    if (part.field !== field || !part.values?.some((one) => same(one, value))) continue;
    const others = part.values.filter((one) => !same(one, value));
    kept = others.length ? replaced(kept, part, values(field, others, part.not)) : removed(kept, part);
  }
  return kept;
}

/**
 * @param {string} field
 * @param {string[]} all
 * @param {boolean} not
 */
function values(field, all, not) {
  const list = all.map((one) => written(field, one));
  return `${not ? '-' : ''}${field}:${list.length > 1 ? `(${list.join(' OR ')})` : list[0]}`;
}

/**
 * @param {string} query
 * @param {string} part
 */
export function joined(query, part) {
  const kept = query.trim();
  // A part beside a top-level OR would bind to its last alternative.
  const whole = isAlternative(kept) ? `(${kept})` : kept;
  return whole ? `${whole} ${part}` : part;
}

/**
 * @param {string} query
 * @param {Part} part
 * @param {string} text
 */
export const replaced = (query, part, text) => query.slice(0, part.start) + text + query.slice(part.end);

/**
 * The query without one of its parts, and without the AND and the blank that joined it.
 * @param {string} query
 * @param {Part} part
 */
export function removed(query, part) {
  const [left, right] = [query.slice(0, part.start), query.slice(part.end)];
  if (/^\s*$/.test(left)) return right.replace(/^\s*((AND|&&)\s+)?/, '');
  return left.replace(/\s*((\s)(AND|&&)\s*)?$/, '') + right;
}

/**
 * A part with its sign turned.
 * @param {Part} part
 */
export function turned(part) {
  return part.not
    ? part.text.replace(/^(?:-|!|NOT\s+)/, '')
    : `-${isAlternative(part.text) ? `(${part.text})` : part.text.replace(/^\+/, '')}`;
}
