// The view of events: one question, and everything that is shown of its answer.

import { el, put, button, announce } from './dom.js';
import { Failure, ask, filters } from './api.js';
import { fieldsOf } from './cells.js';
import { Facets, facetParameters } from './facets.js';
import { Histogram } from './histogram.js';
import { QueryLine } from './line.js';
import { List } from './list.js';
import { notes } from './notes.js';
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
    this.list = new List((cursor) => ask('/v1/events', { ...this.asked, cursor, limit: 200 }));
    this.total = el('span', { role: 'status', class: 'total' });
    this.note = el('div', { class: 'note', role: 'alert' });
    this.tail = el('div', { class: 'tail' });
    this.drawer = el('div', { class: 'drawers' });
    this.live = button('Live', () => this.goLive(), { 'aria-pressed': 'false' });
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
    put(main, el('h1', { class: 'vh' }, 'Events'), this.asking(mayExport), this.overTime(), this.note, this.body);
  }

  /** The query, and what can be done with its answer. @param {boolean} mayExport */
  asking(mayExport) {
    const opens = (/** @type {string} */ name, /** @type {'./columns.js' | './saved.js' | './export.js'} */ file) =>
      button(name, () => this.dialog(file));
    const line = el(
      'search',
      { class: 'ask' },
      this.line.root,
      this.live,
      opens('Columns', './columns.js'),
      opens('Save', './saved.js'),
      mayExport && opens('Export', './export.js'),
      button('Copy link', () => this.copyLink()),
    );
    return el('div', {}, line, el('div', { class: 'under-line' }, this.chips, this.when.root, this.when.error));
  }

  /** The histogram, with what is proven below it. */
  overTime() {
    const { histogram, strip } = this;
    const sum = el(
      'div',
      { class: 'sum' },
      this.total,
      this.zoomed,
      el('span', { class: 'grow' }),
      histogram.said,
      histogram.split,
      strip.source,
    );
    return el(
      'section',
      { class: 'time', 'aria-label': 'Over time' },
      sum,
      histogram.root,
      strip.root,
      histogram.table,
    );
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
      if (changed(['source'])) this.loadStrip();
    }
    if (changed(['event', 'around', 'tz'])) this.showDrawer();
  }

  async showChips() {
    const { q, off } = state();
    if (!q && !off.length && !this.chips.childElementCount) return;
    const { showChips } = await import('./chips.js');
    showChips(this.chips, (start, end) => this.line.select(start, end));
  }

  async load() {
    const now = state();
    this.stopTail();
    this.asked = {
      ...filters(now),
      order: now.order === 'desc' ? '' : now.order,
      fields: fieldsOf(now.cols),
      highlight: true,
    };
    this.body.classList.add('old');
    try {
      const numbers = { ...facetParameters(), count: true, histogram: 'auto', histogram_by: now.by };
      const answer = await this.run((signal) => ask('/v1/events', { ...this.asked, ...numbers }, { signal }));
      if (answer) this.showAnswer({ ...answer, came: Date.now() });
      else if (!this.answer) this.fail(new Failure('The question was cancelled.'));
    } catch (error) {
      this.fail(/** @type {Failure} */ (error));
    }
    this.body.classList.remove('old');
  }

  /** @param {any} answer */
  showAnswer(answer) {
    this.answer = answer;
    this.isLost = false;
    this.line.fail(null);
    this.when.fail(null);
    this.total.textContent = counted(answer.count, 'event');
    this.histogram.show(answer.histogram);
    this.showFacets();
    this.list.show(answer, answer.count);
    put(this.note, ...notes(answer));
    announce(counted(answer.count, 'event'));
    this.list.select();
    this.loadStrip();
  }

  async showFacets() {
    const { has } = state().q ? await import('./query.js') : { has: undefined };
    this.facets.show(this.answer?.facets ?? {}, has);
  }

  async loadStrip() {
    const { answer } = this;
    const { since, before, tz, source } = state();
    const { buckets } = answer?.histogram ?? { buckets: [] };
    const isCurrent = () => this.answer === answer && state().source === source;
    const from = Date.parse(buckets[0]?.time ?? '') || Date.now() - 86400e3;
    const to = Date.parse(buckets.at(-1)?.end ?? '') || Date.now();
    try {
      const bounds = { since: since || new Date(from).toISOString(), before: before || new Date(to).toISOString() };
      const coverage = await ask('/v1/coverage', { ...bounds, tz: tz === 'UTC' ? '' : tz, source, merged: true });
      if (isCurrent()) this.strip.show(coverage, from, to);
    } catch (error) {
      if (isCurrent()) this.strip.fail(/** @type {Error} */ (error).message);
    }
  }

  /** @param {Failure} failure */
  fail(failure) {
    this.isLost = failure.status === 0;
    const isTime = ['since', 'before', 'tz'].includes(failure.parameter);
    this.line.fail(failure.parameter === 'q' ? failure : null);
    this.when.fail(isTime ? failure : null);
    if (failure.parameter === 'q' || isTime) return put(this.note);
    put(
      this.note,
      el(
        'p',
        { class: 'error' },
        failure.message,
        ' ',
        button('Try again', () => this.load()),
      ),
    );
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
    if (this.running) return this.stopTail();
    const { Tail } = await import('./tail.js');
    const { asked, answer } = this;
    if (this.running || !asked || !answer) return;
    this.running = new Tail(
      asked,
      answer.snapshot,
      (event) => this.list.row(event, -1),
      () => this.stopTail(),
    );
    this.live.setAttribute('aria-pressed', 'true');
    put(this.tail, this.running.root);
  }

  stopTail() {
    this.running?.stop();
    this.running = undefined;
    this.live.setAttribute('aria-pressed', 'false');
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
  }
}
