// When it happened. A range is chosen by mouse, touch or keyboard, and Enter zooms into it.

import { el, put, svg, button, visible } from './dom.js';
import { counted, grouped } from './number.js';
import { go, isZoomed, state } from './state.js';
import { short, tick } from './time.js';

const WIDTH = 1096;
const HEIGHT = 84;
const LABELS = 14;

/** @typedef {{time: string, end: string | null, count: number, split?: number[]}} Bucket */
/** @typedef {{interval: string, buckets: Bucket[], by?: string | null, values?: {value: string, label: string}[]}} Answer */

export class Histogram {
  constructor() {
    this.plot = svg('svg', {
      class: 'hist',
      viewBox: `0 0 ${WIDTH} ${HEIGHT + LABELS}`,
      preserveAspectRatio: 'none',
      role: 'slider',
      tabindex: '0',
      'aria-label': 'Range of time',
      'aria-orientation': 'horizontal',
      onfocus: () => this.draw(),
      onblur: () => this.draw(),
    });
    this.labels = el('div', { class: 'ticks', 'aria-hidden': 'true' });
    this.said = el('span', { class: 'dim said' });
    this.split = el('select', { 'aria-label': 'Split by', onchange: () => go({ by: this.split.value }) });
    this.table = el('details', { class: 'table', ontoggle: () => this.tabulate() }, el('summary', {}, 'Table'));
    this.colours = el('p', { class: 'legend', hidden: true });
    this.root = el('section', { role: 'region', 'aria-label': 'Histogram' }, this.plot, this.labels, this.colours);
    /** @type {Bucket[]} */
    this.buckets = [];
    this.anchor = 0;
    this.focus = 0;
    this.hasChosen = false;
    /** @type {Promise<typeof import('./brush.js')> | undefined} */
    this.loading = undefined;
    for (const name of ['keydown', 'pointerdown', 'pointermove', 'pointerup', 'pointercancel'])
      this.plot.addEventListener(name, (event) => this.brush(event));
    this.say();
  }

  /** @param {Answer} answer */
  show(answer) {
    this.answer = answer;
    this.buckets = answer.buckets;
    const { by } = state();
    const choices = [...new Set(['', 'action.result', 'action.type', 'actor.type', by])];
    put(
      this.split,
      ...choices.map((name) => el('option', { value: name, selected: name === by }, name || 'one colour')),
    );
    this.anchor = this.focus = Math.max(0, this.buckets.length - 1);
    this.hasChosen = false;
    this.draw();
    this.tabulate();
  }

  draw() {
    const { buckets } = this;
    const most = Math.max(1, ...buckets.map(({ count }) => count));
    const step = WIDTH / Math.max(1, buckets.length);
    const failed =
      this.answer?.by === 'action.result'
        ? (this.answer.values ?? []).findIndex(({ value }) => value === 'failure')
        : -1;
    const bars = buckets.flatMap((bucket, i) => this.bars(bucket, i * step, step, most, failed));
    put(
      this.plot,
      svg('line', { class: 'grid', x1: 0, x2: WIDTH, y1: 0.5, y2: 0.5 }),
      svg('line', { class: 'grid', x1: 0, x2: WIDTH, y1: HEIGHT / 2, y2: HEIGHT / 2 }),
      this.chosen(step),
      ...bars,
      svg('line', { class: 'base', x1: 0, x2: WIDTH, y1: HEIGHT, y2: HEIGHT }),
    );
    this.label(step);
    this.legend(failed);
    this.say();
  }

  /** One bar, or one for each part of a split, from the bottom up. @param {Bucket} bucket @param {number} x @param {number} step @param {number} most @param {number} failed */
  bars(bucket, x, step, most, failed) {
    if (!bucket.count) return [];
    const width = Math.max(0.5, step - Math.min(2, step / 4));
    const high = (/** @type {number} */ count) => (count ? Math.max(1.5, (count / most) * (HEIGHT - 4)) : 0);
    const total = high(bucket.count);
    const bars = [svg('rect', { class: 'b', x: x + 0.5, y: HEIGHT - total, width, height: total })];
    let y = HEIGHT;
    (bucket.split ?? []).forEach((count, i) => {
      if (failed >= 0 && i !== failed) return;
      const height = Math.min(y - (HEIGHT - total), (count / bucket.count) * total);
      if (height > 0)
        bars.push(svg('rect', { class: failed >= 0 ? 'f' : `s s${i % 5}`, x: x + 0.5, y: y - height, width, height }));
      y -= Math.max(0, height);
    });
    const { time, split = [], count } = bucket;
    const parts = split
      .map((n, i) => n && `, ${this.answer?.values?.[i].label || 'empty'}: ${grouped(n)}`)
      .filter(Boolean);
    const text = `${short(time, state().tz)}: ${counted(count, 'event')}${parts.join('')}`;
    return [svg('g', {}, svg('title', {}, visible(text)), ...bars)];
  }

  /** What the colours of a split are. @param {number} failed */
  legend(failed) {
    const values = this.answer?.values ?? [];
    const named = failed >= 0 ? [['f', values[failed].label]] : values.map(({ label }, i) => [`s${i % 5}`, label]);
    put(
      this.colours,
      ...named.map(([kind, label]) =>
        el('span', {}, el('i', { class: kind, 'aria-hidden': 'true' }), el('bdi', {}, label || 'empty')),
      ),
    );
    this.colours.hidden = !named.length;
  }

  /** @param {number} step */
  chosen(step) {
    const [from, to] = this.ends();
    const isShown = this.hasChosen || document.activeElement === this.plot;
    return svg('rect', {
      class: isShown ? 'brush' : 'brush none',
      x: from * step,
      y: 0,
      width: (to - from + 1) * step,
      height: HEIGHT,
    });
  }

  /** @param {number} step */
  label(step) {
    const every = Math.max(1, Math.ceil(this.buckets.length / 7));
    const length = this.buckets.length > 1 ? Date.parse(this.buckets[1].time) - Date.parse(this.buckets[0].time) : 0;
    put(
      this.labels,
      ...this.buckets
        .filter((_, i) => i % every === 0)
        .map((bucket, i) => {
          const at = el('span', {}, tick(new Date(bucket.time), state().tz, length * every));
          at.style.insetInlineStart = `${(100 * i * every * step) / WIDTH}%`;
          return at;
        }),
    );
  }

  /** What is chosen, in words, for the slider and for the line above it. */
  say() {
    const [from, to] = this.ends();
    const inside = this.buckets.slice(from, to + 1);
    const { tz } = state();
    const count = inside.reduce((sum, bucket) => sum + bucket.count, 0);
    const text = inside.length
      ? `${short(inside[0].time, tz)} to ${inside.at(-1)?.end ? short(/** @type {string} */ (inside.at(-1)?.end), tz) : 'the end'}: ${counted(count, 'event')}`
      : 'no events';
    const set = (/** @type {string} */ name, /** @type {string | number} */ value) =>
      this.plot.setAttribute(name, String(value));
    set('aria-valuemin', 0);
    set('aria-valuemax', Math.max(0, this.buckets.length - 1));
    set('aria-valuenow', this.focus);
    set('aria-valuetext', text);
    this.said.textContent =
      this.hasChosen || document.activeElement === this.plot
        ? `${text} · Enter zooms`
        : this.answer
          ? `one bar = ${spoken(this.answer.interval)}${isUneven(this.buckets) ? '; some are longer' : ''}`
          : '';
  }

  ends() {
    return [Math.min(this.anchor, this.focus), Math.max(this.anchor, this.focus)];
  }

  /** Keys and pointers that come while their code is loaded wait for it, in order. @param {globalThis.Event} event */
  brush(event) {
    if (!isOurs(event)) return;
    // At once: when the code is there, a short touch is over.
    if (event instanceof PointerEvent && event.type === 'pointerdown' && event.buttons)
      this.plot.setPointerCapture(event.pointerId);
    this.loading ??= import('./brush.js');
    this.loading.then((brush) => brush.handle(this, event));
  }

  /** All buckets as a table, for readers who cannot see or use the picture. */
  async tabulate() {
    if (!this.table.open || !this.answer) return;
    const [{ table }] = await Promise.all([import('./table.js'), import('./styles.js').then(({ styles }) => styles())]);
    put(this.table, el('summary', {}, 'Table'), table(this.answer, state().tz));
  }

  /** A button that leaves the zoom. */
  static out() {
    return button('Zoom out', () => (isZoomed() ? history.back() : go({ since: '', before: '' })));
  }
}

/** Whether bars stand for very different lengths of time. @param {Bucket[]} buckets */
function isUneven(buckets) {
  const lengths = buckets.map(({ time, end }) => (end ? Date.parse(end) - Date.parse(time) : 0)).filter(Boolean);
  return Math.max(...lengths) > 1.9 * Math.min(...lengths);
}

/** "1d" as "1 day". @param {string} span */
function spoken(span) {
  const [, n, unit] = /^(\d+)(ms|s|m|h|d|w)$/.exec(span) ?? [];
  const noun = { ms: 'millisecond', s: 'second', m: 'minute', h: 'hour', d: 'day', w: 'week' }[unit];
  return noun ? counted(Number(n), noun) : span;
}

/** Keys that move the range. The others stay the page's. */
const RANGE_KEYS = new Set([
  'ArrowLeft',
  'ArrowRight',
  'ArrowUp',
  'ArrowDown',
  'Home',
  'End',
  'PageUp',
  'PageDown',
  'Enter',
  'Backspace',
  'Escape',
]);

/** Whether the histogram handles an event itself. A key is taken at once, because its code may still have to be loaded. @param {globalThis.Event} event */
function isOurs(event) {
  if (!(event instanceof KeyboardEvent)) return true;
  if (!RANGE_KEYS.has(event.key)) return false;
  event.preventDefault();
  event.stopPropagation();
  return true;
}
