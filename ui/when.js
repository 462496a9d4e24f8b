// The range of time and the zone. The address keeps them as typed; the service reads them.

import { el } from './dom.js';
import { go, state } from './state.js';

const PRESETS = [
  ['now-1h', 'Last hour'],
  ['now-24h', 'Last 24 hours'],
  ['now-7d', 'Last 7 days'],
  ['now-30d', 'Last 30 days'],
  ['now-90d', 'Last 90 days'],
  ['now/d', 'Today'],
  ['', 'All time'],
];

export class When {
  constructor() {
    this.since = field('Since', 'beginning');
    this.before = field('Before', 'now');
    this.tz = field('Zone', 'UTC');
    this.error = el('p', { class: 'error', id: 'when-error', role: 'alert' });
    this.presets = el(
      'select',
      { 'aria-label': 'Range', onchange: () => this.choose() },
      el('option', { value: '-' }, 'Range'),
      ...PRESETS.map(([value, name]) => el('option', { value }, name)),
    );
    this.tz.addEventListener('input', () => import('./suggest.js').then(({ suggest }) => suggest(this.tz, zones)), {
      once: true,
    });
    this.root = el(
      'form',
      {
        class: 'when',
        'aria-label': 'Time',
        onsubmit: (/** @type {Event} */ event) => {
          event.preventDefault();
          this.apply();
        },
      },
      this.presets,
      labelled('Since', this.since),
      labelled('Before', this.before),
      labelled('Zone', this.tz),
      el('button', { class: 'vh', tabindex: '-1' }, 'Apply'),
    );
  }

  show() {
    const { since, before, tz } = state();
    this.since.value = since;
    this.before.value = before;
    this.tz.value = tz;
    this.presets.value = before === '' && PRESETS.some(([value]) => value === since) ? since : '-';
  }

  choose() {
    if (this.presets.value !== '-') go({ since: this.presets.value, before: '' });
  }

  apply() {
    go({ since: this.since.value.trim(), before: this.before.value.trim(), tz: this.tz.value.trim() || 'UTC' });
  }

  /** @param {{message: string, parameter: string} | null} failure */
  fail(failure) {
    this.error.textContent = failure ? failure.message : '';
    for (const [name, input] of Object.entries({ since: this.since, before: this.before, tz: this.tz })) {
      const isWrong = failure?.parameter === name;
      input.setAttribute('aria-invalid', String(isWrong));
      if (isWrong) input.setAttribute('aria-describedby', 'when-error');
      else input.removeAttribute('aria-describedby');
    }
  }
}

/** The zones that can be offered. */
const zones = () => ['UTC', ...Intl.supportedValuesOf('timeZone')];

/** @param {string} name @param {string} placeholder */
function field(name, placeholder) {
  return el('input', { type: 'text', 'aria-label': name, placeholder, autocomplete: 'off', spellcheck: 'false' });
}

/** @param {string} text @param {HTMLElement} input */
export const labelled = (text, input) =>
  el('span', { class: 'pair' }, el('span', { class: 'dim', 'aria-hidden': 'true' }, text), input);
