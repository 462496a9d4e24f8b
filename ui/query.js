// The parts of a query, so that each can be a chip: found by position, so that the text around them stays as typed.
//
// The service alone decides what a query means. This knows only where a part begins and ends: quotes, brackets, expressions.

/**
 * @typedef {object} Part
 * @property {number} start
 * @property {number} end
 * @property {string} text as typed, its sign included
 * @property {boolean} not
 * @property {string} field empty: anywhere
 * @property {string[] | null} values the values, when the part is one value or an OR of values of one field
 */

// Fields whose values match as a whole even without quotes.
const EXACT =
  /^(action\.(type|result)|actor\.(email|ip_address|context|type|id|token_id)|(account|zone|organization)\.id|resource\.(product|type|id)|raw\.(cf_ray_id|method|status_code)|source|id|seq)$/;
const BARE = /^[\w@][\w.@-]*$/;
const WORDS = new Set(['AND', 'OR', 'NOT', 'TO']);

/**
 * Splits a query at its top-level ANDs. A query with a top-level OR is one part.
 * @param {string} query
 * @returns {Part[]}
 */
export function parts(query) {
  const words = tokens(query);
  if (isAlternative(query)) {
    const [start, end] = [words[0].start, words[words.length - 1].end];
    return [{ start, end, text: query.slice(start, end), not: false, field: '', values: null }];
  }
  /** @type {Part[]} */
  const found = [];
  let from = -1;
  for (const { start, end, text } of words) {
    if (text === 'AND' || text === '&&') continue;
    if (from < 0) from = start;
    // `NOT`, `-` and `!` belong to what follows them.
    if (text === 'NOT' || text === '-' || text === '!') continue;
    found.push(partOf(query, from, end));
    from = -1;
  }
  if (from >= 0) found.push(partOf(query, from, query.length));
  return found;
}

/**
 * Whether a query has an OR at its top level.
 * @param {string} query
 */
export const isAlternative = (query) => tokens(query).some(({ text }) => text === 'OR' || text === '||');

/**
 * The words of the top level, each with its brackets and quotes.
 * @param {string} query
 */
function tokens(query) {
  const found = [];
  let at = 0;
  while (at < query.length) {
    if (/\s/.test(query[at])) at += 1;
    else {
      const end = endOf(query, at);
      found.push({ start: at, end, text: query.slice(at, end) });
      at = end;
    }
  }
  return found;
}

/**
 * Where the word that begins at `start` ends.
 * @param {string} query
 * @param {number} start
 */
function endOf(query, start) {
  let depth = 0;
  let at = start;
  while (at < query.length) {
    const c = query[at];
    if (c === '\\') at += 2;
    else if (c === '"') at = after(query, at, '"');
    else if (c === '/' && (at === start || ':-(!+'.includes(query[at - 1])) && closes(query, at))
      at = after(query, at, '/');
    else {
      if ('([{'.includes(c)) depth += 1;
      else if (')]}'.includes(c)) depth -= 1;
      else if (/\s/.test(c) && depth <= 0) break;
      at += 1;
    }
  }
  return Math.min(at, query.length);
}

/**
 * The position behind the next `mark` that is not escaped.
 * @param {string} query
 * @param {number} at
 * @param {string} mark
 */
function after(query, at, mark) {
  for (at += 1; at < query.length && query[at] !== mark; at += 1) if (query[at] === '\\') at += 1;
  return at + 1;
}

/**
 * Whether the expression that may begin at `at` has its closing slash at the end of a word.
 * @param {string} query
 * @param {number} at
 */
function closes(query, at) {
  const end = after(query, at, '/');
  return end <= query.length && (end === query.length || /[\s)]/.test(query[end]));
}

/**
 * @param {string} query
 * @param {number} start
 * @param {number} end
 * @returns {Part}
 */
function partOf(query, start, end) {
  const text = query.slice(start, end);
  const sign = /^(?:-|!|\+|NOT\s+)/.exec(text)?.[0] ?? '';
  const rest = text.slice(sign.length);
  const field = /^([\w.*-]+):(?!\s|$)/.exec(rest)?.[1] ?? '';
  const value = field ? rest.slice(field.length + 1) : rest;
  return { start, end, text, not: sign !== '' && sign !== '+', field, values: valuesOf(value) };
}

/** @param {string} value */
function valuesOf(value) {
  const inside = /^\((.*)\)$/s.exec(value)?.[1];
  const words = inside === undefined ? [value] : tokens(inside).map(({ text }) => text);
  const values = words.filter((_, i) => i % 2 === 0);
  if (!values.length || words.some((word, i) => i % 2 === 1 && word !== 'OR')) return null;
  const plain = values.map(plainOf);
  return plain.every((one) => one !== null) ? /** @type {string[]} */ (plain) : null;
}

/**
 * The text of a single value; null for patterns, ranges and expressions.
 * @param {string} word
 */
function plainOf(word) {
  if (/^"(?:[^"\\]|\\.)*"$/s.test(word)) return word.slice(1, -1).replace(/\\(.)/gs, '$1');
  return /^[^\s"()[\]{}/*?<>~^:!\\]+$/.test(word) && !WORDS.has(word) ? word : null;
}

/**
 * A value as it is written in a query for an exact match.
 * @param {string} field
 * @param {string} value
 */
export function written(field, value) {
  const bare = BARE.test(value) && !WORDS.has(value) && EXACT.test(field);
  return bare ? value : `"${value.replace(/["\\]/g, '\\$&')}"`;
}

/**
 * Whether a query has this value of the field, and how.
 * @param {string} query
 * @param {string} field
 * @param {string} value
 * @returns {'only' | 'without' | ''}
 */
export function has(query, field, value) {
  for (const part of parts(query)) {
    if (part.field === field && part.values?.some((one) => same(one, value))) return part.not ? 'without' : 'only';
  }
  return '';
}

/** @param {string} a @param {string} b */
export const same = (a, b) => a.toLowerCase() === b.toLowerCase();
