// What a column of the list shows of an event. A column is one of four composed ones, or any path of the entry.

import { el, icon, shapeOf, visible } from './dom.js';
import { state } from './state.js';
import { clock, day } from './time.js';

/** @typedef {{seq: number, source: string, time: string | null, received_at: string, problem: string | null, entry: any, account_name: string | null, actor_known: any, summary: string, matches?: {path: string, index: number, ranges: [number, number][]}[]}} Event */

export const COMPOSED = new Map(
  Object.entries({ time: 'Time', actor: 'Actor', summary: 'Summary', account: 'Account' }),
);

/** The paths of an entry that the columns show. @param {string[]} cols */
export const fieldsOf = (cols) => [...LISTED, ...cols.filter((name) => !COMPOSED.has(name))];

/** What the composed columns show, and what the summary is made of: its matches are marked. */
const LISTED = [
  'action.description',
  'action.result',
  'action.type',
  'actor.context',
  'actor.email',
  'actor.id',
  'actor.ip_address',
  'actor.token_name',
  'account.name',
  'resource.id',
  'resource.product',
  'resource.type',
  'zone.name',
];

/** The most characters of a value that a cell has. */
const MOST_SHOWN = 300;

/** The header of a column. @param {string} name */
export const heading = (name) => COMPOSED.get(name) ?? name;

/** @param {string} name @param {Event} event */
export function cell(name, event) {
  const props = { role: 'gridcell', class: `c-${COMPOSED.has(name) ? name : 'path'}` };
  if (name === 'time') return el('span', props, ...timeOf(event));
  if (name === 'actor') return el('span', props, ...actorOf(event));
  if (name === 'summary')
    return el('span', props, icon(shapeOf(event.entry?.action?.type)), ...sentence(event), ...tags(event));
  if (name === 'account')
    return el(
      'span',
      { ...props, title: event.source },
      el(
        'bdi',
        {},
        cut(event.account_name ?? (textAt(event.entry, 'account.name') || event.source.split('/')[1].slice(0, 8))),
      ),
    );
  return el(
    'span',
    { ...props, 'data-name': name },
    el('bdi', {}, ...marked(textAt(event.entry, name), rangesOf(event, name))),
  );
}

/** @param {Event} event */
function timeOf(event) {
  const at = event.time ?? event.received_at;
  const [time, fraction] = clock(at, state().tz);
  return [
    el(
      'time',
      { datetime: at, title: event.time ? at : `no time; received ${at}` },
      el('span', { class: 'vh' }, `${day(at, state().tz)} `),
      time,
      el('span', { class: 'dim' }, fraction),
    ),
  ];
}

/** @param {Event} event */
function actorOf(event) {
  const { path, text } = actorTextOf(event);
  const ranges = rangesOf(event, path);
  const at = path === 'actor.email' && !ranges.length ? text.indexOf('@') : -1;
  if (at < 1) return [el('bdi', { class: path === 'actor.email' ? '' : 'tok' }, ...marked(text, ranges))];
  return [el('bdi', {}, text.slice(0, at), el('span', { class: 'dim' }, visible(cut(text.slice(at)))))];
}

/** Who acted: by the first of these that the entry has. @param {Event} event */
function actorTextOf({ entry }) {
  const paths = ['actor.email', 'actor.token_name', 'actor.id', 'actor.context'];
  const path = paths.find((one) => textAt(entry, one)) ?? '';
  return { path, text: path && textAt(entry, path) };
}

/** The summary; without the actor, if that has a column of its own. @param {Event} event */
function sentence(event) {
  const actor = state().cols.includes('actor') ? actorTextOf(event).text : '';
  const first = actor && [actor, `token ${actor}`, `actor ${actor}`].find((one) => event.summary.startsWith(`${one} `));
  const text = first ? event.summary.slice(first.length + 1) : event.summary;
  const found = (event.matches ?? []).flatMap(({ path, index, ranges }) => {
    const value = [...(textsAt(event.entry, path.split('.'))[index] ?? '').slice(0, MOST_SHOWN)];
    return ranges.map(([from, to]) => value.slice(from, to).join(''));
  });
  return [el('bdi', { class: 'what' }, ...markedTexts(text, found))];
}

/** @param {Event} event */
function tags(event) {
  const result = textAt(event.entry, 'action.result');
  return [
    result && result !== 'success' && el('span', { class: 'tag bad' }, el('bdi', {}, cut(result))),
    event.problem && el('span', { class: 'tag warn' }, event.problem),
  ];
}

/** What is marked of the text at a path. Of several values only the first is marked. @param {Event} event @param {string} path */
const rangesOf = (event, path) =>
  (event.matches ?? []).filter((one) => one.path === path && one.index === 0).flatMap(({ ranges }) => ranges);

/** The beginning of a text: one value may have millions of characters. @param {string} text */
export const cut = (text, most = MOST_SHOWN) => (text.length > most ? `${text.slice(0, most)}…` : text);

/** The text at a dotted path; several values are joined. @param {any} entry @param {string} path */
export function textAt(entry, path) {
  return textsAt(entry, path.split('.')).join(', ');
}

/** @param {any} value @param {string[]} names @returns {string[]} */
function textsAt(value, names) {
  if (Array.isArray(value)) return value.flatMap((one) => textsAt(one, names));
  if (!names.length) return value == null ? [] : [typeof value === 'object' ? JSON.stringify(value) : String(value)];
  if (typeof value !== 'object' || value === null) return [];
  // A member's name may contain dots.
  return names.flatMap((_, i) => {
    const name = names.slice(0, i + 1).join('.');
    return Object.hasOwn(value, name) ? textsAt(value[name], names.slice(i + 1)) : [];
  });
}

/** A text with the given ranges (in characters) marked. @param {string} text @param {[number, number][]} ranges */
function marked(text, ranges) {
  const shown = cut(text);
  if (!ranges.length) return [shown];
  const all = [...shown];
  const pieces = [];
  let at = 0;
  for (const [from, to] of ranges.toSorted((a, b) => a[0] - b[0])) {
    if (from < at || from >= all.length) continue;
    pieces.push(all.slice(at, from).join(''), el('mark', {}, all.slice(from, to).join('')));
    at = to;
  }
  return [...pieces, all.slice(at).join('')];
}

/** A text with each occurrence of the given texts marked. @param {string} text @param {string[]} found */
function markedTexts(text, found) {
  const low = text.toLowerCase();
  if (low.length !== text.length) return [text];
  const ranges = [...new Set(found.map((one) => one.toLowerCase()))].filter(Boolean).flatMap((one) => {
    const places = [];
    for (let at = low.indexOf(one); at >= 0 && places.length < 20; at = low.indexOf(one, at + one.length))
      places.push(
        /** @type {[number, number]} */ ([[...text.slice(0, at)].length, [...text.slice(0, at + one.length)].length]),
      );
    return places;
  });
  return marked(text, ranges);
}
