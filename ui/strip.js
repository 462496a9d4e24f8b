// The coverage strip: which part of the shown time is proven complete, and what is missing, with the reason in words.

import { el, put } from './dom.js';
import { counted } from './number.js';
import { go, state } from './state.js';
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

export class Strip {
  constructor() {
    this.bar = el('div', { class: 'cover', 'aria-hidden': 'true' });
    this.words = el('p', { class: 'legend' });
    this.source = el('select', { 'aria-label': 'Source', onchange: () => go({ source: this.source.value }) });
    this.root = el('section', { role: 'region', 'aria-label': 'Coverage', class: 'coverage' }, this.bar, this.words);
  }

  /**
   * @param {{merged: Stretch[], sources: {source: string, name: string | null}[]}} answer
   * @param {number} from milliseconds @param {number} to milliseconds
   */
  show(answer, from, to) {
    const { source } = state();
    const names = answer.sources.map((one) => one.source);
    put(
      this.source,
      el('option', { value: '' }, 'all sources'),
      ...answer.sources.map((one) =>
        el('option', { value: one.source, selected: one.source === source }, one.name ?? one.source),
      ),
    );
    if (source && !names.includes(source)) this.source.append(el('option', { value: source, selected: true }, source));
    const inside = answer.merged.filter((stretch) => endOf(stretch) > from && Date.parse(stretch.since) < to);
    put(this.bar, ...inside.map((stretch) => piece(stretch, from, to)));
    put(this.words, ...sentences(inside));
  }

  /** @param {string} message */
  fail(message) {
    put(this.bar);
    put(this.words, message);
  }
}

/** Without an end it reaches beyond all that is shown. @param {Stretch} stretch */
const endOf = ({ before }) => (before === null ? Infinity : Date.parse(before));

/** @param {Stretch} stretch @param {number} from @param {number} to */
function piece(stretch, from, to) {
  const width = Math.max(1, to - from);
  const start = Math.max(from, Date.parse(stretch.since));
  const end = Math.min(to, endOf(stretch));
  const element = el('span', { class: `${stretch.state}${LATER.has(stretch.reason ?? '') ? ' later' : ''}` });
  element.style.insetInlineStart = `${(100 * (start - from)) / width}%`;
  element.style.inlineSize = `max(2px, ${(100 * (end - start)) / width}%)`;
  return element;
}

/** Stretches that follow each other for one reason, as one. @param {Stretch[]} stretches */
function adjoined(stretches) {
  /** @type {Stretch[]} */
  const found = [];
  for (const stretch of stretches) {
    const last = found.at(-1);
    if (last && last.reason === stretch.reason && last.before === stretch.since)
      found[found.length - 1] = { ...last, before: stretch.before, sources: Math.max(last.sources, stretch.sources) };
    else found.push(stretch);
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

/** Names only the states that occur. @param {Stretch[]} stretches */
function sentences(stretches) {
  const { tz } = state();
  const said = [];
  for (const name of /** @type {const} */ (['complete', 'settling'])) {
    if (stretches.some((one) => one.state === name))
      said.push(el('span', {}, el('i', { class: name, 'aria-hidden': 'true' }), WORDS[name]));
  }
  const missing = adjoined(stretches.filter((one) => one.state === 'missing'));
  for (const stretch of missing.slice(0, 3)) {
    const { reason, sources } = stretch;
    const isLater = LATER.has(reason ?? '');
    said.push(
      el(
        'span',
        { class: isLater ? 'later' : '' },
        el('i', { class: isLater ? 'later' : 'missing', 'aria-hidden': 'true' }),
        el('b', {}, `missing ${ends(stretch, tz)}`),
        `: ${inWords(reason)} (${reason}), ${sources ? counted(sources, 'source') : 'of sources that are not saved'}`,
      ),
    );
  }
  if (missing.length > 3) said.push(el('span', {}, `and ${counted(missing.length - 3, 'more gap')}`));
  return said.length ? said : ['Nothing is claimed about this range.'];
}
