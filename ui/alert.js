// One alert beside the list: what was found, in which events, by which rule, and what has become of it.

import { el, put, button, announce } from './dom.js';
import { ask } from './api.js';
import { dialog } from './dialog.js';
import { counted, lasting } from './number.js';
import { DEFAULTS, address, go, state } from './state.js';
import { full, short } from './time.js';

/** How many of its events are listed. */
const MAX_LISTED = 50;

/**
 * @param {HTMLElement} place
 * @param {string} id
 * @param {import('./alerts.js').Alerts} view
 */
export async function showAlert(place, id, view) {
  const hadFocus = place.contains(document.activeElement);
  const box = el('aside', { class: 'drawer', role: 'complementary', 'aria-label': `Alert ${id}`, tabindex: '-1' });
  const isCurrent = () => state().alert === id && !state().event;
  try {
    const [alert, rules] = await Promise.all([ask(`/v1/alerts/${encodeURIComponent(id)}`), view.known()]);
    if (!isCurrent()) return;
    fill(box, alert, rules.get(alert.rule.id), view);
  } catch (error) {
    if (!isCurrent()) return;
    put(box, head(id), el('p', { class: 'error' }, /** @type {Error} */ (error).message));
  }
  put(place, box);
  if (hadFocus || matchMedia('(max-width: 720px)').matches) box.focus();
}

/** @param {string} id */
const head = (id) =>
  el(
    'div',
    { class: 'nav' },
    el('span', { class: 'dim' }, `alert ${id.slice(0, 8)}`),
    el('span', { class: 'grow' }),
    button('Close', () => go({ alert: '' }), { 'aria-label': 'Close the drawer' }),
  );

/** @param {HTMLElement} box @param {any} alert @param {any} rule @param {import('./alerts.js').Alerts} view */
function fill(box, alert, rule, view) {
  const { tz } = state();
  const late = alert.late_by_seconds > 0 && ` · up to ${lasting(alert.late_by_seconds)} after the event`;
  put(
    box,
    head(alert.id),
    el('h2', {}, el('bdi', {}, alert.rule.title)),
    el(
      'p',
      { class: 'sub' },
      el('span', { class: `level ${alert.rule.level}` }, alert.rule.level),
      ` ${alert.state}`,
      alert.assignee && ` · ${alert.assignee}`,
      ' · raised ',
      el('time', { datetime: alert.raised_at }, `${full(alert.raised_at, tz)} ${tz}`),
      late,
    ),
    el('p', { class: 'lead' }, el('bdi', {}, alert.summary)),
    group(alert.group),
    work(alert, view),
    events(alert),
    region('Rule', about(alert.rule, rule)),
    region('History', history(alert.history)),
  );
}

/** @param {string} name @param {...import('./dom.js').Child} children */
const region = (name, ...children) =>
  el('section', { role: 'region', 'aria-label': name }, el('h3', {}, name), ...children);

/** @param {Record<string, string | null>} values */
function group(values) {
  const all = Object.entries(values);
  if (!all.length) return null;
  const fact = (/** @type {[string, string | null]} */ [name, value]) =>
    el('div', {}, el('dt', {}, name), el('dd', {}, el('bdi', {}, value ?? '–')));
  return el('dl', { class: 'facts' }, ...all.map(fact));
}

/** What may be done with it, for those who may. @param {any} alert @param {import('./alerts.js').Alerts} view */
function work(alert, view) {
  if (!view.me.scopes.includes('alerts') || alert.state === 'retracted') return null;
  const change = async (/** @type {Record<string, unknown>} */ body) => {
    const changed = await ask(`/v1/alerts/${encodeURIComponent(alert.id)}`, {}, { method: 'PATCH', body });
    view.changed(changed);
    announce(`The alert is ${changed.state}.`);
    await view.showDrawer();
  };
  const trouble = el('p', { class: 'error', role: 'alert' });
  const tried = (/** @type {Record<string, unknown>} */ body) =>
    change(body).catch((error) => put(trouble, error.message));
  const asks = (
    /** @type {string} */ title,
    /** @type {string} */ label,
    /** @type {string} */ value,
    /** @type {(text: string) => Record<string, unknown>} */ body,
  ) => button(title, () => asked(title, label, value, (text) => change(body(text))), { 'aria-haspopup': 'dialog' });
  return el(
    'div',
    {},
    el(
      'p',
      { class: 'acts' },
      alert.state === 'open' && button('Acknowledge', () => tried({ state: 'acknowledged' })),
      alert.state !== 'closed' && asks('Close alert', 'Reason', '', (reason) => ({ state: 'closed', reason })),
      alert.state !== 'open' && button('Open again', () => tried({ state: 'open' })),
      asks('Assign', 'Assignee', alert.assignee ?? view.me.name ?? '', (name) => ({ assignee: name || null })),
    ),
    trouble,
  );
}

/**
 * Asks for a text, and does something with it.
 * @param {string} title
 * @param {string} label
 * @param {string} value
 * @param {(text: string) => Promise<void>} then
 */
async function asked(title, label, value, then) {
  const input = el('input', { type: 'text', value, maxlength: 1000, required: label === 'Reason' });
  const trouble = el('p', { class: 'error', role: 'alert' });
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    try {
      await then(input.value.trim());
      box.close();
    } catch (error) {
      put(trouble, /** @type {Error} */ (error).message);
    }
  };
  const form = el('form', { onsubmit: submit }, el('label', {}, `${label} `, input), el('button', {}, title), trouble);
  const box = await dialog(title, form);
  input.focus();
}

/** @param {any} alert */
function events(alert) {
  const { tz } = state();
  const seqs = alert.events.slice(0, MAX_LISTED);
  const list = el('ul', { class: 'tl' }, el('li', {}, 'Loading…'));
  const q = `seq:(${alert.events.slice(0, 100).join(' OR ')})`;
  const all = { ...DEFAULTS, tz, q };
  ask('/v1/events', { q: `seq:(${seqs.join(' OR ')})`, limit: MAX_LISTED, order: 'asc', fields: 'id' })
    .then(({ events }) => put(list, ...events.map(item)))
    .catch((error) => put(list, el('li', { class: 'error' }, error.message)));
  const link = el(
    'a',
    {
      href: address(all),
      onclick: (/** @type {Event} */ event) => {
        event.preventDefault();
        go(all);
      },
    },
    alert.events_total > seqs.length
      ? `The first ${alert.events.slice(0, 100).length} in the list of events`
      : 'In the list of events',
  );
  return region('Events', el('p', { class: 'sub' }, counted(alert.events_total, 'event'), ' · ', link), list);
}

/** @param {any} event */
const item = (event) =>
  el(
    'li',
    {},
    el('time', { datetime: event.time ?? event.received_at }, short(event.time ?? event.received_at, state().tz)),
    button(el('bdi', {}, event.summary), () => go({ event: String(event.seq) })),
  );

/** The rule in its author's words; of one that is not in use any more, what the alert knows. @param {any} of @param {any} rule */
function about(of, rule) {
  return el(
    'div',
    {},
    el('p', { class: 'text' }, rule?.description ?? 'The rule is not in use any more.'),
    rule?.falsepositives.length > 0 &&
      el(
        'div',
        {},
        el('p', { class: 'dim' }, 'What else looks like it:'),
        el('ul', { class: 'plain' }, ...rule.falsepositives.map((/** @type {string} */ one) => el('li', {}, one))),
      ),
    el('p', { class: 'sub' }, [of.id, ...of.tags].join(' · ')),
  );
}

/** @param {any[]} changes */
function history(changes) {
  const { tz } = state();
  return el(
    'ul',
    { class: 'tl' },
    ...changes.map((one) =>
      el(
        'li',
        {},
        el('time', { datetime: one.at }, short(one.at, tz)),
        el(
          'bdi',
          {},
          [one.state, one.who && `by ${one.who}`, one.assignee && `assigned to ${one.assignee}`, one.reason]
            .filter(Boolean)
            .join(' · '),
        ),
      ),
    ),
  );
}
