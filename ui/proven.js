// What is proven of a question's time, as a strip and in words. It is loaded with the first answer.

import { el, put, visible } from './dom.js';
import { counted } from './number.js';
import { state } from './state.js';
import { short } from './time.js';

/** @typedef {{since: string, before: string | null, state: 'complete' | 'settling' | 'missing', reason: string | null, sources: number}} Stretch */

/** What is missing as it must be: it is shown without alarm. */
const LATER = new Set(['not_yet', 'not_asked_for']);

const WORDS = { complete: 'complete', settling: 'settling: late entries may still come', missing: 'missing' };

/** The API's reasons in words. A reason that is not here is shown as the API spells it. */
const REASONS = new Map(
  Object.entries({
    not_yet: 'not fetched yet',
    failing: 'Cloudflare does not answer',
    clock: 'a clock is wrong',
    credential_refused: 'credential refused',
    entry_too_large: 'an entry is too large',
    unreadable: 'an answer cannot be read',
    foreign_entries: 'entries of another source',
    not_asked_for: 'older than configured',
    left: 'the account had left',
    older_than_upstream_keeps: 'older than Cloudflare keeps',
    before_upstream_kept: 'before Cloudflare kept this log',
    before_the_account_existed: 'before the account existed',
    not_followed: 'no such source is configured',
    accounts_unknown: 'the list of accounts is unknown',
    not_searchable_yet: 'not searchable yet',
    erased: 'erased by policy',
  }),
);

/** @param {string | null} reason */
export const inWords = (reason) => REASONS.get(reason ?? '') ?? reason ?? '';

/** What is still to come at the newest end of every log. */
const NEWEST = new Set(['not_yet', 'not_searchable_yet']);

/** @typedef {{merged: Stretch[], sources: {source: string, name: string | null}[]}} Coverage */
/** @typedef {{time: string, end: string | null}[]} Axis the histogram's bars: each has the same width, however long it is */

/**
 * Draws the strip, and says below it what it shows.
 * @param {import('./strip.js').Strip} strip
 * @param {Coverage} answer
 * @param {Axis} axis
 */
export function draw({ source: choice, bar, words }, answer, axis) {
  const { source } = state();
  const names = answer.sources.map((one) => one.source);
  put(
    choice,
    el('option', { value: '' }, 'all sources'),
    ...answer.sources.map((one) =>
      el('option', { value: one.source, selected: one.source === source }, visible(one.name ?? one.source)),
    ),
  );
  if (source && !names.includes(source)) choice.append(el('option', { value: source, selected: true }, source));
  const inside = answer.merged.filter((stretch) => to(axis, endOf(stretch)) > to(axis, Date.parse(stretch.since)));
  put(bar, ...inside.map((stretch) => piece(stretch, axis)));
  put(words, ...sentences(inside, axis));
}

/**
 * Whether the whole range of a question is proven, in a sentence for the place beside its total.
 * @param {any} proven the coverage of the question's own sources
 * @param {Stretch[]} merged what is proven of all sources, from the beginning if the question has no `since`
 */
export function said({ state: proven, missing_by_reason: reasons }, merged) {
  const lost = lostOf(reasons);
  const early = unprovenAtFirst(merged);
  if (lost.length) return [el('b', {}, 'not complete'), `: ${[...lost, early].filter(Boolean).join('; ')}`];
  const rest = new Map(Object.entries(WORDS)).get(proven) ?? 'nothing missing but the newest moments';
  return [early ? `${rest}; ${early}` : rest];
}

/** Until when nothing is proven, of a range without a beginning. Before its account existed, a source had no events. @param {Stretch[]} merged */
function unprovenAtFirst(merged) {
  const end = merged.findIndex((one) => one.state !== 'missing');
  const lacking = merged.slice(0, Math.max(0, end)).filter(({ reason }) => reason !== 'before_the_account_existed');
  const last = lacking.at(-1);
  if (!last?.before || Date.parse(merged[0].since) > BEGINNING) return '';
  const reasons = [...new Set(lacking.map(({ reason }) => inWords(reason)))];
  return `not proven before ${short(last.before, state().tz)}: ${reasons.join(', ')}`;
}

/** A time before which no log has anything. */
const BEGINNING = Date.parse('1000-01-01');

/** What is missing of an answer, in words. What is only about to come is left out. @param {Record<string, any> | undefined} reasons */
export const lostOf = (reasons) =>
  Object.entries(reasons ?? {})
    .filter(([reason]) => !NEWEST.has(reason))
    .map(([reason, { sources, since, before }]) => {
      const { tz } = state();
      const from = since && ` from ${short(since, tz)}`;
      const until = before && ` to ${short(before, tz)}`;
      return `${inWords(reason)}${from ?? ''}${until ?? ''}${sources ? `, ${counted(sources, 'source')}` : ''}`;
    });

/** Where a time is on the axis, from 0 to 1. @param {Axis} axis @param {number} time */
function to(axis, time) {
  const now = Date.now();
  for (const [i, one] of axis.entries()) {
    const start = Date.parse(one.time);
    const end = one.end ? Date.parse(one.end) : Math.max(now, start + 1);
    if (time < end) return (i + Math.max(0, time - start) / (end - start)) / axis.length;
  }
  return 1;
}

/** Without an end it reaches beyond all that is shown. @param {Stretch} stretch */
const endOf = ({ before }) => (before === null ? Infinity : Date.parse(before));

/** @param {Stretch} stretch @param {Axis} axis */
function piece(stretch, axis) {
  const [start, end] = [to(axis, Date.parse(stretch.since)), to(axis, endOf(stretch))];
  const element = el('span', { class: `${stretch.state}${LATER.has(stretch.reason ?? '') ? ' later' : ''}` });
  element.style.insetInlineStart = `${100 * start}%`;
  element.style.inlineSize = `max(2px, ${100 * (end - start)}%)`;
  return element;
}

/** Stretches that follow each other for one reason, as one. The number of sources is the most and, apart, the least. @param {Stretch[]} stretches */
function adjoined(stretches) {
  /** @type {(Stretch & {least?: number})[]} */
  const found = [];
  for (const stretch of stretches) {
    const last = found.at(-1);
    if (last && last.reason === stretch.reason && last.before === stretch.since) {
      const [least, sources] = [
        Math.min(last.least ?? last.sources, stretch.sources),
        Math.max(last.sources, stretch.sources),
      ];
      found[found.length - 1] = { ...last, before: stretch.before, sources, least };
    } else found.push(stretch);
  }
  return found;
}

/** The ends of a range: to the second if it is shorter than two minutes. @param {Stretch} stretch @param {string} tz */
function ends({ since, before }, tz) {
  if (before === null) return `from ${short(since, tz)} on`;
  const seconds = (Date.parse(before) - Date.parse(since)) / 1000;
  return seconds < 120
    ? `${Math.round(seconds)} s from ${short(since, tz)}`
    : `${short(since, tz)} to ${short(before, tz)}`;
}

/** "6 sources", or "1 to 6 sources" where not all of the stretch is missing for all of them. @param {Stretch & {least?: number}} stretch */
function sourcesOf({ sources, least = sources }) {
  if (!sources) return 'of sources that are not saved';
  return least < sources ? `${least} to ${counted(sources, 'source')}` : counted(sources, 'source');
}

/** Names only the states that occur. @param {Stretch[]} all @param {Axis} axis */
function sentences(all, axis) {
  const from = axis[0].time;
  // What began before the first bar is shown from there on.
  const stretches = all.map((one) => (Date.parse(one.since) < Date.parse(from) ? { ...one, since: from } : one));
  const { tz } = state();
  const said = [];
  for (const name of /** @type {const} */ (['complete', 'settling'])) {
    if (stretches.some((one) => one.state === name))
      said.push(el('span', {}, el('i', { class: name, 'aria-hidden': 'true' }), WORDS[name]));
  }
  const missing = adjoined(stretches.filter((one) => one.state === 'missing'));
  for (const stretch of missing.slice(0, 3)) {
    const { reason } = stretch;
    const isLater = LATER.has(reason ?? '');
    said.push(
      el(
        'span',
        { class: isLater ? 'later' : '' },
        el('i', { class: isLater ? 'later' : 'missing', 'aria-hidden': 'true' }),
        el('b', {}, `missing ${ends(stretch, tz)}`),
        `: ${inWords(reason)} (${reason}), ${sourcesOf(stretch)}`,
      ),
    );
  }
  if (missing.length > 3) said.push(el('span', {}, `and ${counted(missing.length - 3, 'more gap')}`));
  return said.length ? said : ['Nothing is claimed about this range.'];
}
