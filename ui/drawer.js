// The drawer: one event, what it changed, the exact bytes, and what happened around it.

import { el, put, button } from './dom.js';
import { send } from './api.js';
import { cut } from './cells.js';
import { changes } from './changes.js';
import { counted } from './number.js';
import { step } from './move.js';
import { rawMember } from './raw.js';
import { go, state } from './state.js';
import { styles } from './styles.js';
import { clock, full } from './time.js';
import { timeline } from './timeline.js';
import { copy, valueWithTools } from './value.js';

/** The values of an event that have a name. The first ones are always in sight. */
const FACTS = [
  ['actor.email', 'Actor'],
  ['actor.token_name', 'Token'],
  ['actor.ip_address', 'Address'],
  ['action.result', 'Result'],
  ['account.name', 'Account'],
  ['zone.name', 'Zone'],
  ['resource.id', 'Resource'],
  ['action.type', 'Action'],
  ['actor.context', 'By'],
  ['actor.id', 'Actor ID'],
  ['actor.token_id', 'Token ID'],
  ['resource.product', 'Product'],
  ['resource.type', 'Type'],
  ['raw.method', 'Method'],
  ['raw.uri', 'URI'],
  ['raw.status_code', 'Status'],
  ['raw.user_agent', 'User agent'],
  ['raw.cf_ray_id', 'Ray'],
];

/**
 * @param {HTMLElement} place
 * @param {string} seq
 * @param {import('./list.js').List} [list] the list that it is in
 */
export async function showEvent(place, seq, list) {
  await styles();
  const hadFocus = place.contains(document.activeElement);
  const isCurrent = () => state().event === seq;
  const box = el('aside', { class: 'drawer', role: 'complementary', 'aria-label': `Event ${seq}`, tabindex: '-1' });
  try {
    const text = await (await send(`/v1/events/${encodeURIComponent(seq)}`)).text();
    if (!isCurrent()) return;
    fill(box, JSON.parse(text), rawMember(text, 'entry'), list);
  } catch (error) {
    if (!isCurrent()) return;
    put(box, head(seq, list), el('p', { class: 'error' }, /** @type {Error} */ (error).message));
  }
  put(place, box);
  if (hadFocus || matchMedia('(max-width: 720px)').matches) box.focus();
}

/** @param {string} seq @param {import('./list.js').List} [list] */
function head(seq, list) {
  return el(
    'div',
    { class: 'nav' },
    list && button('‹', () => step(list, -1), { 'aria-label': 'Previous event' }),
    list && button('›', () => step(list, 1), { 'aria-label': 'Next event' }),
    el('span', { class: 'dim' }, `event ${seq}`),
    el('span', { class: 'grow' }),
    button('Close', () => go({ event: '' })),
  );
}

/** @param {HTMLElement} box @param {any} event @param {string} raw @param {import('./list.js').List} [list] */
function fill(box, event, raw, list) {
  const { tz } = state();
  const at = event.time ?? event.received_at;
  const title = el('h2', {}, el('bdi', {}, event.summary));
  put(
    box,
    head(String(event.seq), list),
    title,
    el(
      'p',
      { class: 'sub' },
      el('time', { datetime: at }, `${full(at, tz)}${clock(at, tz)[1]} ${tz}`),
      event.time ? '' : ' (received; the entry has no time)',
      event.revision > 0 && ` · revision ${event.revision}`,
    ),
    event.problem && el('p', { class: 'error' }, `Problem: ${event.problem}`),
    event.entry && facts(event),
    known(event.actor_known),
    region('Changes', async (place) => {
      const { removed } = await changes(place, event.seq);
      if (event.entry?.action?.type === 'delete') title.append(...lastName(event, removed));
    }),
    timeline(event),
    json(event, raw),
  );
}

/** The name that a deleted resource had last, if the summary does not say it. @param {any} event @param {import('./changes.js').Change[]} removed */
function lastName({ summary }, removed) {
  const name = removed.find(({ path }) => path === 'name')?.before;
  if (typeof name !== 'string' || !name || summary.includes(name)) return [];
  return [el('span', { class: 'dim' }, ' · its last name: '), el('bdi', {}, cut(name, 200))];
}

/** @param {any} event */
function facts({ entry, source, id }) {
  const at = (/** @type {string} */ path) =>
    path.split('.').reduce((/** @type {any} */ value, name) => value?.[name], entry);
  const shown = FACTS.map(([path, name]) => /** @type {const} */ ([path, name, at(path)])).filter(
    ([, , value]) => value !== undefined && value !== null && value !== '',
  );
  const facts = shown.map(([path, name, value]) => fact(name, path, value));
  facts.push(fact('Source', 'source', source), ...(id ? [fact('ID', 'id', id)] : []));
  return el(
    'div',
    {},
    el('dl', { class: 'facts' }, ...facts.slice(0, 6)),
    el('details', {}, el('summary', {}, 'More values'), el('dl', { class: 'facts' }, ...facts.slice(6))),
  );
}

/** @param {string} name @param {string} path @param {unknown} value */
const fact = (name, path, value) => el('div', {}, el('dt', {}, name), el('dd', {}, valueWithTools(path, value)));

/** The member that acted, as the organization's list said last. @param {any} known */
function known(known) {
  if (!known) return null;
  const words = [
    known.name || known.email,
    known.status,
    known.two_factor === false && 'no two-factor',
    known.left_at && `left ${full(known.left_at, state().tz)}`,
  ].filter(Boolean);
  return el('p', { class: 'sub' }, 'Member: ', el('bdi', {}, words.join(' · ')));
}

/**
 * A part with a heading that fills itself.
 * @param {string} name
 * @param {(place: HTMLElement) => Promise<void>} load
 */
function region(name, load) {
  const place = el('div', {}, el('p', { class: 'dim' }, 'Loading…'));
  load(place).catch((error) => put(place, el('p', { class: 'error' }, error.message)));
  return el('section', { role: 'region', 'aria-label': name }, el('h3', {}, name), place);
}

/** @param {any} event @param {string} raw */
function json(event, raw) {
  const bytes = new TextEncoder().encode(raw).length;
  return el(
    'section',
    { 'aria-label': 'JSON' },
    el(
      'details',
      {},
      el('summary', {}, `JSON as sent, ${counted(bytes, 'byte')}`),
      el('pre', { tabindex: '0' }, raw),
      button('Copy JSON', () => copy(raw)),
    ),
    el('p', { class: 'sub hash' }, 'SHA-256 ', event.sha256 ? el('code', {}, event.sha256) : 'not shown to you'),
  );
}
