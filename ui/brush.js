// Chooses a range in the histogram, by keys or by pointer.

import { go, isZoomed } from './state.js';

/** @typedef {import('./histogram.js').Histogram} Histogram */

let isDragging = false;

/** @param {Histogram} histogram @param {Event} event */
export function handle(histogram, event) {
  if (event instanceof KeyboardEvent) key(histogram, event);
  else pointer(histogram, /** @type {PointerEvent} */ (event));
}

/** @param {Histogram} histogram @param {number} anchor @param {number} focus */
function choose(histogram, anchor, focus) {
  const most = histogram.buckets.length - 1;
  histogram.anchor = Math.max(0, Math.min(most, anchor));
  histogram.focus = Math.max(0, Math.min(most, focus));
  histogram.hasChosen = true;
  histogram.draw();
}

/** @param {Histogram} histogram */
function forget(histogram) {
  isDragging = false;
  histogram.hasChosen = false;
  histogram.draw();
}

/** @param {Histogram} histogram */
function zoom(histogram) {
  const [from, to] = histogram.ends();
  const { buckets } = histogram;
  if (buckets.length) go({ since: buckets[from].time, before: buckets[to].end ?? '' }, { zoom: true });
}

/** @param {Histogram} histogram @param {KeyboardEvent} event */
function key(histogram, { key: name, shiftKey, ctrlKey, metaKey }) {
  const { anchor, focus, buckets } = histogram;
  const jump = ctrlKey || metaKey ? Math.ceil(buckets.length / 10) : 1;
  const to = {
    ArrowLeft: focus - jump,
    ArrowDown: focus - jump,
    ArrowRight: focus + jump,
    ArrowUp: focus + jump,
    Home: 0,
    End: buckets.length - 1,
    PageUp: focus + 10,
    PageDown: focus - 10,
  }[name];
  if (to !== undefined) choose(histogram, shiftKey ? anchor : to, to);
  else if (name === 'Enter') zoom(histogram);
  else if (name === 'Backspace') isZoomed() ? history.back() : go({ since: '', before: '' });
  else forget(histogram);
}

/** @param {Histogram} histogram @param {PointerEvent} event */
function pointer(histogram, event) {
  const { plot, buckets, anchor } = histogram;
  const box = plot.getBoundingClientRect();
  const at = Math.floor(((event.clientX - box.left) / box.width) * buckets.length);
  if (event.type === 'pointerdown' && event.button === 0 && buckets.length) {
    isDragging = true;
    choose(histogram, at, at);
  } else if (isDragging && event.type === 'pointermove') choose(histogram, anchor, at);
  else if (isDragging) {
    isDragging = false;
    if (event.type === 'pointercancel') return forget(histogram);
    choose(histogram, anchor, at);
    zoom(histogram);
  }
}
