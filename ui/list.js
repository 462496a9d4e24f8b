// The list of events. Pages follow each other by cursor; only those near the visible part are in the document.

import { el, put, button } from './dom.js';
import { cell } from './cells.js';
import { ROW, fit, heads, tracks } from './heads.js';
import { grouped } from './number.js';
import { state } from './state.js';
import { day } from './time.js';

/** @typedef {import('./cells.js').Event} Event */
/**
 * @typedef {object} Page
 * @property {Event[]} events
 * @property {number} first the index of its first row
 * @property {Event | undefined} before the event above it
 * @property {number} height in pixels, also while its rows are not in the document
 * @property {HTMLElement} box
 * @property {boolean} isDrawn
 */

/** Rows that are in the document at once, at most. */
const MOST_ROWS = 600;
/** How far below the screen the next page is fetched, in pixels. */
const AHEAD = 400;
const DAY = 29;

/** Keys that move in the list. */
const LIST_KEYS = new Set(['ArrowDown', 'ArrowUp', 'PageDown', 'PageUp', 'Home', 'End', 'Enter']);

export class List {
  /** @param {(cursor: string) => Promise<{events: Event[], next_cursor: string | null}>} more */
  constructor(more) {
    this.more = more;
    this.head = el('div', { role: 'row', class: 'row head' }, ...heads(state().cols));
    this.body = el('div', { class: 'pages', role: 'presentation' });
    this.grid = el(
      'div',
      {
        role: 'grid',
        'aria-label': 'Events',
        class: 'list',
        onkeydown: (/** @type {KeyboardEvent} */ event) => {
          if (LIST_KEYS.has(event.key)) {
            event.preventDefault();
            this.move((move) => move.key(this, event.key));
          }
        },
        onclick: (/** @type {MouseEvent} */ event) => this.move((move) => move.click(this, event)),
      },
      el('div', { role: 'rowgroup', class: 'heads' }, this.head),
      this.body,
    );
    this.foot = el('div', { class: 'foot' });
    this.root = el('section', { class: 'events', 'aria-label': 'List' }, this.grid, this.foot);
    this.near = new IntersectionObserver((seen) => this.seen(seen), { rootMargin: '1200px' });
    this.ending = new IntersectionObserver(
      ([{ isIntersecting }]) => {
        if (isIntersecting && !this.foot.querySelector('button')) this.next();
      },
      { rootMargin: `${AHEAD}px` },
    );
    this.ending.observe(this.foot);
    new ResizeObserver(() => fit(this)).observe(this.root);
    this.rowHeight = ROW;
    /** @type {Page[]} */
    this.pages = [];
    /** @type {string | null} */
    this.cursor = null;
    this.current = -1;
    /** @type {Promise<typeof import('./move.js')> | undefined} */
    this.moving = undefined;
    this.isFetching = false;
  }

  /** @param {any} answer */
  show(answer) {
    const { events, next_cursor: cursor, count: total } = answer;
    this.answer = answer;
    this.near.disconnect();
    this.pages = [];
    this.cursor = cursor;
    this.current = -1;
    put(this.body);
    fit(this);
    this.grid.setAttribute('aria-rowcount', String(total + 1));
    this.setColumns();
    this.add(events);
    this.end(total ? '' : undefined);
    this.goOn();
  }

  setColumns() {
    const { cols } = state();
    put(this.head, ...heads(cols));
    // The new events of a live tail have the same columns.
    (this.root.parentElement ?? this.grid).style.setProperty('--columns', tracks(cols));
    for (const page of this.pages) if (page.isDrawn) this.draw(page, true);
  }

  /** @param {Event[]} events */
  add(events) {
    if (!events.length) return;
    const last = this.pages.at(-1);
    const page = {
      events,
      first: last ? last.first + last.events.length : 0,
      before: last?.events.at(-1),
      height: 0,
      box: el('div', { role: 'rowgroup', class: 'sheet' }),
      isDrawn: false,
    };
    page.height = this.heightOf(page);
    page.box.style.blockSize = `${page.height}px`;
    this.pages.push(page);
    this.body.append(page.box);
    if (page.first + events.length <= MOST_ROWS) this.draw(page);
    this.near.observe(page.box);
  }

  /** @param {Page} page */
  heightOf(page) {
    return page.events.length * this.rowHeight + page.events.filter((_, i) => this.dayOf(page, i)).length * DAY;
  }

  /** The day that begins above an event, if one does. @param {Page} page @param {number} i */
  dayOf(page, i) {
    const event = page.events[i];
    const before = i ? page.events[i - 1] : page.before;
    const on = (/** @type {Event} */ one) => day(one.time ?? one.received_at, state().tz);
    return !before || on(before) !== on(event) ? on(event) : '';
  }

  /** @param {Page} page */
  draw(page, again = false) {
    if (page.isDrawn && !again) return;
    page.isDrawn = true;
    put(
      page.box,
      ...page.events.flatMap((event, i) => {
        const heading = this.dayOf(page, i);
        return [
          heading && el('div', { class: 'day', 'aria-hidden': 'true' }, heading),
          this.row(event, page.first + i),
        ];
      }),
    );
  }

  /** @param {Event} event @param {number} index */
  row(event, index) {
    const { cols, event: open } = state();
    const isOpen = String(event.seq) === open;
    const isCurrent = index === Math.max(0, this.current);
    return el(
      'div',
      {
        role: 'row',
        class: 'row',
        'aria-rowindex': String(index + 2),
        'aria-selected': String(isOpen),
        tabindex: isCurrent ? '0' : '-1',
        'data-index': String(index),
        'data-seq': String(event.seq),
      },
      ...cols.map((name) => cell(name, event)),
    );
  }

  /** @param {IntersectionObserverEntry[]} seen */
  seen(seen) {
    for (const { target, isIntersecting } of seen) {
      const page = this.pages.find(({ box }) => box === target);
      if (page && isIntersecting) this.draw(page);
      else if (page?.isDrawn && !page.box.contains(document.activeElement)) {
        page.isDrawn = false;
        put(page.box);
      }
    }
  }

  /** Fetches the next page, once at a time. */
  async next() {
    const { cursor } = this;
    if (!cursor || this.isFetching) return;
    this.isFetching = true;
    this.end('Loading…');
    try {
      const answer = await this.more(cursor);
      if (this.cursor !== cursor) return;
      this.cursor = answer.next_cursor;
      this.add(answer.events);
      this.end('');
    } catch (error) {
      if (this.cursor === cursor) this.end(/** @type {Error} */ (error).message, true);
    } finally {
      this.isFetching = false;
      this.goOn();
    }
  }

  /** Observed anew, the foot tells whether it is in sight, also where it left and came back between two frames. */
  goOn() {
    this.ending.unobserve(this.foot);
    this.ending.observe(this.foot);
  }

  /** @param {string} [text] @param {boolean} [canRetry] */
  end(text, canRetry = false) {
    const last = this.pages.at(-1);
    const shown = last ? last.first + last.events.length : 0;
    if (text === '') text = this.cursor ? '' : shown > 20 ? `All ${grouped(shown)} are shown.` : '';
    put(this.foot, text, canRetry && button('Try again', () => this.next()));
  }

  /** Does something that moves in the list. Its code is loaded first; what comes meanwhile waits, in order. @param {(move: typeof import('./move.js')) => void} task */
  move(task) {
    this.moving ??= import('./move.js');
    this.moving.then(task);
  }

  /** Marks the open event. */
  select() {
    const { event } = state();
    for (const row of this.root.parentElement?.querySelectorAll('.row[data-seq]') ?? [])
      row.setAttribute('aria-selected', String(/** @type {HTMLElement} */ (row).dataset.seq === event));
    for (const { events, first } of this.pages) {
      const i = events.findIndex(({ seq }) => String(seq) === event);
      if (i >= 0) this.current = first + i;
    }
  }
}
