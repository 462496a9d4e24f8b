// The view of events: one question, and everything that is shown of its answer.

import { el, put, button, announce } from './dom.js';
import { Failure, ask, filters } from './api.js';
import { fieldsOf } from './cells.js';
import { Facets, facetParameters } from './facets.js';
import { Histogram } from './histogram.js';
import { QueryLine } from './line.js';
import { asking, mark, overTime } from './layout.js';
import { List } from './list.js';
import { counted } from './number.js';
import { go, isZoomed, state } from './state.js';
import { Strip } from './strip.js';
import { When } from './when.js';
import { oneAtATime } from './work.js';

/** What of the state belongs to the question. */
const ASKED = /** @type {const} */ (['q', 'since', 'before', 'tz', 'order', 'facets', 'by', 'cols']);

export class Events {
  /** @param {HTMLElement} main @param {HTMLElement} bar @param {boolean} mayExport */
  constructor(main, bar, mayExport) {
    this.run = oneAtATime(bar);
    this.line = new QueryLine();
    this.when = new When();
    this.chips = el('ul', { class: 'chips', 'aria-label': 'Filters' });
    this.histogram = new Histogram();
    this.strip = new Strip();
    this.facets = new Facets();
    this.list = new List((cursor) => ask('/v1/events', { ...this.answer.asked, cursor, limit: 200 }));
    this.total = el('span', { role: 'status', class: 'total' });
    this.note = el('div', { class: 'note', role: 'alert' });
    this.tail = el('div', { class: 'tail' });
    this.drawer = el('div', { class: 'drawers' });
    this.live = button('Live', () => this.goLive(), { 'aria-pressed': 'false' });
    this.copy = button('Copy link', () => this.copyLink());
    this.export = mayExport && button('Export', () => this.dialog('./export.js'));
    /** @type {any} */
    this.answer = undefined;
    /** What was left out of the question because it is unknown. @type {string[]} */
    this.leftOut = [];
    /** Counts the questions, so that only the last one's answer is shown. */
    this.turn = 0;
    /** Whether the last question failed because there was no connection. */
    this.isLost = false;
    /** @type {import('./tail.js').Tail | undefined} */
    this.running = undefined;
    this.body = el(
      'div',
      { class: 'body' },
      this.facets.root,
      el('div', { class: 'middle' }, this.tail, this.list.root),
      this.drawer,
    );
    this.zoomed = el('span', {});
    this.over = overTime(this);
    this.main = main;
    /** Where it is scrolled to. When another view is shown it is too late to ask. */
    this.y = 0;
    onscroll = () => {
      if (this.body.isConnected) this.y = scrollY;
    };
    put(main, el('h1', { class: 'vh' }, 'Events'), asking(this), this.over, this.note, this.body);
  }

  /** @param {import('./state.js').State} now @param {import('./state.js').State} [before] */
  show(now, before) {
    const changed = (/** @type {readonly (keyof import('./state.js').State)[]} */ names) =>
      !before || names.some((name) => String(now[name]) !== String(before[name]));
    this.line.show(now.q);
    this.when.show();
    this.showChips();
    put(this.zoomed, isZoomed() && Histogram.out());
    document.title = now.q ? `${now.q} · orgtrail` : 'orgtrail';
    if (changed(ASKED)) this.load();
    else {
      if (changed(['rare'])) this.showFacets();
      if (changed(['source']) && this.answer) this.strip.load(this.answer);
    }
    if (changed(['event', 'tz'])) this.showDrawer();
    else if (now.event && changed(['around'])) import('./timeline.js').then(({ turn }) => turn());
  }

  async showChips() {
    const { q, off } = state();
    if (!q && !off.length && !this.chips.childElementCount) return;
    const { showChips } = await import('./chips.js');
    showChips(this.chips, (start, end) => this.line.select(start, end));
  }

  async load() {
    const of = state();
    const asked = {
      ...filters(of),
      order: of.order === 'desc' ? '' : of.order,
      fields: fieldsOf(of.cols),
      highlight: true,
    };
    const turn = (this.turn += 1);
    this.stopTail();
    mark(this, 'old');
    try {
      const numbers = { ...facetParameters(), count: true, histogram: 'auto', histogram_by: of.by };
      const answer = await this.run((signal) => ask('/v1/events', { ...asked, ...numbers }, { signal }));
      if (turn !== this.turn) return;
      if (answer) this.showAnswer({ ...answer, of, asked, came: Date.now() });
      else this.fail(new Failure('The question was cancelled.', { status: 499 }));
    } catch (error) {
      if (turn === this.turn) this.fail(/** @type {Failure} */ (error));
    }
  }

  /** @param {any} answer */
  async showAnswer(answer) {
    this.answer = answer;
    this.isLost = false;
    mark(this, '');
    this.line.fail(null);
    this.when.fail(null);
    this.total.textContent = counted(answer.count, 'event');
    this.histogram.show(answer.histogram);
    this.showFacets();
    this.list.show(answer);
    put(this.note, ...this.leftOut.splice(0).map((text) => el('p', {}, `Left out: ${text}.`)));
    this.list.select();
    this.strip.load(answer);
    if (answer.count && answer.index.state !== 'rebuilding') return;
    const { notes } = await import('./notes.js');
    if (this.answer === answer) this.note.append(...notes(answer));
  }

  async showFacets() {
    const { has } = state().q ? await import('./query.js') : { has: undefined };
    this.facets.show(this.answer?.facets ?? {}, has);
  }

  /** @param {Failure} failure @param {boolean} [canRepair] */
  fail(failure, canRepair = true) {
    this.isLost = failure.status === 0;
    if (['facet', 'fields', 'histogram_by'].includes(failure.parameter) && canRepair) return this.repair(failure);
    mark(this, 'stale');
    const isTime = ['since', 'before', 'tz'].includes(failure.parameter);
    const isSaidThere = isTime || failure.parameter === 'q';
    this.line.fail(failure.parameter === 'q' ? failure : null);
    this.when.fail(isTime ? failure : null);
    put(
      this.note,
      !isSaidThere &&
        el(
          'p',
          { class: 'error' },
          failure.message,
          ' ',
          button('Try again', () => this.load()),
        ),
      this.answer &&
        el('p', {}, 'What is shown below still answers the question before: ', asText(this.answer.of), '.'),
    );
  }

  /** Asks again without the field that is unknown. @param {Failure} failure */
  async repair(failure) {
    const { turn } = this;
    const { without } = await import('./repair.js');
    if (turn !== this.turn) return;
    const now = state();
    go(without(failure, now), { replace: true });
    if (state() === now || turn === this.turn) this.fail(failure, false);
    else this.leftOut.push(failure.message);
  }

  async showDrawer() {
    const { event } = state();
    this.list.select();
    this.body.classList.toggle('open', Boolean(event));
    if (!event) {
      const row = this.drawer.firstChild && this.list.current >= 0;
      put(this.drawer);
      if (row) this.list.move((move) => move.focus(this.list, this.list.current));
      return;
    }
    const { showEvent } = await import('./drawer.js');
    if (state().event === event) showEvent(this.drawer, event, this.list);
  }

  async goLive() {
    if (this.running) return this.leaveTail();
    const { Tail } = await import('./tail.js');
    const { answer } = this;
    if (this.running || this.live.disabled || !answer) return;
    this.running = new Tail(
      answer.asked,
      answer.snapshot,
      (event) => this.list.row(event, -1),
      () => this.leaveTail(),
    );
    this.live.setAttribute('aria-pressed', 'true');
    put(this.tail, this.running.root);
  }

  /** Ends the tail. What it showed is in the list then. */
  leaveTail() {
    const isMore = this.running?.nShown || this.running?.nWaiting;
    this.stopTail();
    if (isMore) this.load();
  }

  stopTail() {
    this.running?.stop();
    this.running = undefined;
    this.live.setAttribute('aria-pressed', 'false');
  }

  /** Another view takes the place. @param {import('./state.js').State} now */
  leave(now) {
    this.stopTail();
    this.left = { now, y: this.y, nodes: [...this.main.childNodes] };
  }

  /** The view is shown again, as it was left. @returns {import('./state.js').State | undefined} what it showed */
  back() {
    if (!this.left) return undefined;
    this.main.replaceChildren(...this.left.nodes);
    scrollTo(0, this.left.y);
    return this.left.now;
  }

  /** The connection is there again. */
  online() {
    if (this.isLost) this.load();
  }

  /** @param {'./columns.js' | './saved.js' | './export.js'} name */
  async dialog(name) {
    const { open } = await import(name);
    open(this.answer);
  }

  async copyLink() {
    const { copyLink } = await import('./link.js');
    await copyLink(this.answer);
    this.copy.classList.add('done');
    setTimeout(() => this.copy.classList.remove('done'), 2000);
  }
}

/** The query of a question. @param {import('./state.js').State} of */
const asText = ({ q }) => (q ? el('bdi', { class: 'tok' }, q.length > 200 ? `${q.slice(0, 200)}…` : q) : 'all events');
