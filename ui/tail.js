// The live tail: new events above the list, from its own snapshot on, so that nothing falls between them.

import { el, put, button } from './dom.js';
import { ask, parameters } from './api.js';
import { grouped } from './number.js';
import { go } from './state.js';
import { styles } from './styles.js';

/** Events that are kept. Older ones are counted, and are in the list after the next question. */
const MOST = 200;
/** How long after a refusal the tail is tried again, in milliseconds. */
const RETRY = 2000;
/** How long events are gathered before they are shown, in milliseconds. */
const GATHER = 50;

export class Tail {
  /**
   * @param {Record<string, unknown>} asked the filters of the list
   * @param {number} snapshot the newest event that the list could show
   * @param {(event: any) => HTMLElement} row
   * @param {() => void} stop
   */
  constructor(asked, snapshot, row, stop) {
    const { q, tz, since, before, fields } = asked;
    this.asked = { q, tz, since, before, fields };
    this.last = snapshot;
    this.row = row;
    this.status = el('span', { role: 'status' });
    this.trouble = el('span', { class: 'dim' });
    this.pause = button('Pause', () => this.hold(!this.isPaused));
    this.rows = el('div', { role: 'rowgroup' });
    this.grid = el(
      'div',
      { role: 'grid', 'aria-label': 'New events', class: 'list', hidden: true, onclick: open, onkeydown: move },
      this.rows,
    );
    this.root = el(
      'div',
      {},
      el(
        'div',
        { class: 'tail-head' },
        this.status,
        this.trouble,
        el('span', { class: 'grow' }),
        this.pause,
        button('Stop', stop),
      ),
      this.grid,
    );
    /** @type {any[]} */
    this.waiting = [];
    this.nWaiting = 0;
    this.nShown = 0;
    this.isPaused = false;
    this.timer = 0;
    styles();
    this.say();
    this.connect();
  }

  connect() {
    this.stream = new EventSource(
      `/v1/events/stream?${parameters({ ...this.asked, last_event_id: String(this.last) })}`,
    );
    this.stream.onmessage = ({ data, lastEventId }) => {
      this.last = Number(lastEventId) || this.last;
      if (data) this.take(JSON.parse(data));
    };
    this.stream.onopen = () => {
      this.trouble.textContent = '';
    };
    this.stream.onerror = () => this.lost();
  }

  /** The browser connects again by itself after a lost connection, with the last id. After a refusal it does not. */
  lost() {
    this.trouble.textContent = ' · connection lost; trying again';
    if (this.stream?.readyState !== EventSource.CLOSED) return;
    this.timer = setTimeout(async () => {
      // A session that has ended is asked for again.
      const failure = await ask('/v1/me').then(
        () => null,
        (error) => error,
      );
      if (failure?.status !== 401) this.connect();
    }, RETRY);
  }

  /** @param {any} event */
  take(event) {
    this.waiting.push(event);
    this.nWaiting += 1;
    if (this.waiting.length > MOST) this.waiting.shift();
    if (this.isPaused) this.say();
    else if (this.nWaiting === 1)
      setTimeout(() => {
        if (!this.isPaused) this.flush();
      }, GATHER);
  }

  /** @param {boolean} isPaused */
  hold(isPaused) {
    this.isPaused = isPaused;
    this.pause.textContent = isPaused ? 'Resume' : 'Pause';
    if (isPaused) this.say();
    else this.flush();
  }

  /** Shows what waits, the newest first. */
  flush() {
    this.nShown += this.nWaiting;
    this.rows.prepend(...this.waiting.reverse().map(this.row));
    while (this.rows.childElementCount > MOST) this.rows.lastElementChild?.remove();
    [...this.rows.children].forEach((row, i) => row.setAttribute('tabindex', i ? '-1' : '0'));
    this.grid.hidden = !this.rows.childElementCount;
    this.waiting = [];
    this.nWaiting = 0;
    this.say();
  }

  say() {
    const { before } = this.asked;
    const until = before ? `, of the question's time: before ${before}` : '';
    const shown = this.nShown ? `${grouped(this.nShown)} new` : `Live: waiting for new events${until}`;
    this.status.textContent = this.isPaused ? `${grouped(this.nWaiting)} waiting` : shown;
  }

  stop() {
    clearTimeout(this.timer);
    this.stream?.close();
    put(this.root);
    this.root.remove();
  }
}

/** The row that an event of the browser is about. @param {globalThis.Event} event */
const rowOf = ({ target }) =>
  /** @type {HTMLElement | null} */ (/** @type {HTMLElement} */ (target).closest('.row[data-seq]'));

/** @param {globalThis.Event} event */
function open(event) {
  const seq = rowOf(event)?.dataset.seq;
  if (seq && !String(getSelection())) go({ event: seq });
}

/** @param {KeyboardEvent} event */
function move(event) {
  const row = rowOf(event);
  const to = { ArrowDown: row?.nextElementSibling, ArrowUp: row?.previousElementSibling }[event.key];
  if (event.key === 'Enter') open(event);
  else if (to instanceof HTMLElement) to.focus();
  else return;
  event.preventDefault();
}
