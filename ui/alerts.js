// The view of alerts: what rules found, filtered by rule, level and state, and one of them beside the list.

import { el, put, button, announce } from './dom.js';
import { hear } from './alert-stream.js';
import { ask } from './api.js';
import { counted } from './number.js';
import { address, go, state } from './state.js';
import { styles } from './styles.js';
import { short } from './time.js';

export const LEVELS = ['critical', 'high', 'medium', 'low', 'informational'];
const STATES = ['open', 'acknowledged', 'closed', 'retracted'];

/** What of the state belongs to the list. */
const ASKED = /** @type {const} */ (['rule', 'level', 'state', 'tz']);

/** @type {Alerts | undefined} */
let view;

/** @param {HTMLElement} main @param {import('./me.js').Me} me */
export async function show(main, me) {
  document.title = 'Alerts · orgtrail';
  await styles();
  if (state().view !== 'alerts') return;
  if (!view || !main.contains(view.root)) {
    view = new Alerts(me);
    put(main, view.root);
  }
  await view.show();
}

export class Alerts {
  /** @param {import('./me.js').Me} me */
  constructor(me) {
    this.me = me;
    this.total = el('span', { class: 'dim', role: 'status' });
    this.filters = el('div', { class: 'filters' });
    this.list = el('ul', { class: 'alerts', 'aria-label': 'Alerts' });
    this.more = el('p', { class: 'end' });
    this.note = el('p', { class: 'error', role: 'alert' });
    this.fresh = el('p', { role: 'status' });
    this.nFresh = 0;
    this.drawer = el('div', { class: 'drawers' });
    this.body = el(
      'div',
      { class: 'with-drawer' },
      el('div', {}, this.note, this.fresh, this.list, this.more),
      this.drawer,
    );
    const heading = el('h1', {}, 'Alerts ', this.total);
    this.root = el('section', { class: 'page all' }, heading, this.filters, this.body);
    /** @type {import('./state.js').State | undefined} */
    this.shown = undefined;
    /** @type {Promise<Map<string, any>> | undefined} The rules by their ids. */
    this.rules = undefined;
  }

  async show() {
    const [now, before] = [state(), this.shown];
    this.shown = now;
    const changed = (/** @type {readonly (keyof import('./state.js').State)[]} */ names) =>
      !before || names.some((name) => String(now[name]) !== String(before[name]));
    const tasks = [];
    if (changed(ASKED)) tasks.push(this.load());
    if (changed(['alert', 'event', 'tz'])) tasks.push(this.showDrawer());
    this.mark();
    await Promise.all(tasks);
  }

  /** Which rules there are, asked once. */
  known() {
    this.rules ??= ask('/v1/rules').then(({ rules }) => new Map(rules.map((/** @type {any} */ one) => [one.id, one])));
    return this.rules;
  }

  async load() {
    const { rule, level, state: now } = state();
    this.list.classList.add('old');
    // Before the question, so that no change falls between.
    hear((alert) => this.take(alert));
    try {
      const [page, rules] = await Promise.all([ask('/v1/alerts', { rule, level, state: now }), this.known()]);
      if (![rule, level, now].every((one, i) => one === [state().rule, state().level, state().state][i])) return;
      this.showFilters(rules);
      put(this.note);
      put(this.list);
      put(this.fresh);
      this.nFresh = 0;
      this.add(page);
      if (!page.alerts.length) put(this.note, 'There is no such alert.');
      announce(this.total.textContent ?? '');
    } catch (error) {
      put(
        this.note,
        /** @type {Error} */ (error).message,
        ' ',
        button('Try again', () => this.load()),
      );
    }
    this.list.classList.remove('old');
  }

  /** @param {{alerts: any[], next_cursor: string | null}} page */
  add({ alerts, next_cursor: cursor }) {
    this.list.append(...alerts.map(row));
    const n = this.list.childElementCount;
    this.total.textContent = counted(n, 'alert') + (cursor ? ' and more' : '');
    put(this.more, cursor && button('Show more', () => this.next(cursor)));
    this.mark();
  }

  /** @param {string} cursor */
  async next(cursor) {
    const { rule, level, state: now } = state();
    try {
      const page = await ask('/v1/alerts', { rule, level, state: now, cursor });
      const first = this.list.childElementCount;
      this.add(page);
      /** @type {HTMLElement | null | undefined} */ (this.list.children[first]?.querySelector('a'))?.focus();
    } catch (error) {
      put(this.note, /** @type {Error} */ (error).message);
    }
  }

  /** Shows which alert is open. */
  mark() {
    for (const link of this.list.querySelectorAll('a')) {
      if (link.dataset.id === state().alert) link.setAttribute('aria-current', 'true');
      else link.removeAttribute('aria-current');
    }
  }

  /** @param {Map<string, any>} rules */
  showFilters(rules) {
    const now = state();
    const sorted = [...rules.values()].filter(({ raises }) => raises).sort((a, b) => a.title.localeCompare(b.title));
    const named = sorted.map(({ id, title }) => [id, title]);
    // One that is not in use any more may have alerts.
    if (now.rule && !rules.has(now.rule)) named.push([now.rule, now.rule]);
    const choose = (
      /** @type {'rule' | 'level' | 'state'} */ name,
      /** @type {string} */ label,
      /** @type {string[][]} */ all,
    ) =>
      el(
        'label',
        {},
        `${label} `,
        el(
          'select',
          {
            onchange: (/** @type {Event} */ { target }) =>
              go({ [name]: /** @type {HTMLSelectElement} */ (target).value, alert: '', event: '' }),
          },
          ...[['', 'all'], ...all].map(([value, text]) => el('option', { value, selected: now[name] === value }, text)),
        ),
      );
    const focused = [...this.filters.querySelectorAll('select')].indexOf(/** @type {any} */ (document.activeElement));
    put(
      this.filters,
      choose('rule', 'Rule', named),
      choose(
        'level',
        'Level',
        LEVELS.map((one) => [one, one]),
      ),
      choose(
        'state',
        'State',
        STATES.map((one) => [one, one]),
      ),
    );
    this.filters.querySelectorAll('select')[focused]?.focus();
  }

  async showDrawer() {
    const { alert, event } = state();
    const had = this.drawer.contains(document.activeElement);
    this.body.classList.toggle('open', Boolean(alert || event));
    if (event) {
      const { showEvent } = await import('./drawer.js');
      if (state().event === event) await showEvent(this.drawer, event);
    } else if (alert) {
      const { showAlert } = await import('./alert.js');
      if (state().alert === alert) await showAlert(this.drawer, alert, this);
    } else {
      put(this.drawer);
      const link = had && this.opened && this.list.querySelector(`a[data-id="${CSS.escape(this.opened)}"]`);
      if (link) /** @type {HTMLElement} */ (link).focus();
    }
    this.opened = alert;
  }

  /** Something changed: in its row, or to be shown when that is wanted. @param {any} alert */
  take(alert) {
    const now = state();
    if (this.list.querySelector(`a[data-id="${CSS.escape(alert.id)}"]`)) return this.changed(alert);
    if (alert.change !== 'raised' || (now.state && now.state !== alert.state)) return;
    this.nFresh += 1;
    put(
      this.fresh,
      button(`Show ${counted(this.nFresh, 'new alert')}`, () => this.load()),
    );
  }

  /** An alert was changed: its row shows it. @param {any} alert */
  changed(alert) {
    const link = this.list.querySelector(`a[data-id="${CSS.escape(alert.id)}"]`);
    link?.parentElement?.replaceWith(row(alert));
    this.mark();
  }
}

/** @param {any} alert */
function row(alert) {
  const { tz } = state();
  const to = { ...state(), alert: alert.id, event: '' };
  const when = (/** @type {string} */ time) => el('time', { datetime: time }, short(time, tz));
  return el(
    'li',
    {},
    el(
      'a',
      {
        href: address(to),
        'data-id': alert.id,
        onclick: (/** @type {MouseEvent} */ event) => {
          if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
          event.preventDefault();
          go({ alert: alert.id, event: '' });
        },
      },
      el('span', { class: `level ${alert.rule.level}` }, alert.rule.level),
      el(
        'span',
        { class: 'what' },
        el('b', {}, el('bdi', {}, alert.rule.title)),
        el('span', { class: 'dim under' }, el('bdi', {}, alert.summary)),
      ),
      el('span', { class: 'dim' }, counted(alert.events_total, 'event')),
      el(
        'span',
        { class: 'dim' },
        when(alert.first_time),
        ...(alert.last_time === alert.first_time ? [] : [' – ', when(alert.last_time)]),
      ),
      el('span', { class: `state ${alert.state}` }, alert.state, alert.assignee && ` · ${alert.assignee}`),
    ),
  );
}
