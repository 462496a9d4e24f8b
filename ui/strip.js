// The coverage strip below the histogram, and the sentence beside the total. What they show is made in `proven.js`.

import { announce, el, put } from './dom.js';
import { ask } from './api.js';
import { counted } from './number.js';
import { go, state } from './state.js';

export class Strip {
  constructor() {
    this.bar = el('div', { class: 'cover', 'aria-hidden': 'true' });
    this.words = el('p', { class: 'legend' });
    this.source = el('select', { 'aria-label': 'Source', onchange: () => go({ source: this.source.value }) });
    this.root = el('section', { role: 'region', 'aria-label': 'Coverage', class: 'coverage' }, this.bar, this.words);
    this.said = el('p', { class: 'dim proven' });
  }

  /** Asks what is proven of the time of an answer, and shows it. @param {any} answer */
  async load(answer) {
    this.answer = answer;
    const { source } = state();
    const isCurrent = () => this.answer === answer && state().source === source;
    const { buckets } = answer.histogram;
    const { since, before } = answer.range;
    const wanted = { since: since ?? '0001-01-01T00:00:00Z', before: before ?? endOf(buckets), merged: true };
    const axis = buckets.length
      ? buckets
      : [{ time: since ?? new Date(Date.now() - 86400e3).toISOString(), end: before }];
    try {
      const loading = import('./proven.js');
      const ofAll = ask('/v1/coverage', wanted);
      const ofOne = source && ask('/v1/coverage', { ...wanted, source });
      const { draw, said } = await loading;
      const all = await ofAll;
      if (!isCurrent()) return;
      put(this.said, ...said(answer.coverage, all.merged));
      announce(`${counted(answer.count, 'event')}, ${this.said.textContent}`);
      const one = (await ofOne) || all;
      if (isCurrent()) draw(this, one, axis);
    } catch (error) {
      const { status, message } = /** @type {import('./api.js').Failure} */ (error);
      if (isCurrent()) this.fail(status ? message : 'What is proven of this range cannot be read now.');
    }
  }

  /** @param {string} message */
  fail(message) {
    put(this.bar);
    put(this.said);
    put(this.words, message);
  }
}

/** The end of the last bar, if that is later than now. @param {{end: string | null}[]} buckets */
function endOf(buckets) {
  const end = buckets.at(-1)?.end;
  return end && Date.parse(end) > Date.now() ? end : '';
}
