// The query line: a combobox that shows where a query is wrong. What it offers is loaded when it is first used.

import { el, put } from './dom.js';
import { state, go } from './state.js';

export class QueryLine {
  constructor() {
    this.input = el('input', {
      type: 'text',
      id: 'query',
      role: 'combobox',
      'aria-label': 'Query',
      'aria-autocomplete': 'list',
      'aria-expanded': 'false',
      'aria-controls': 'options',
      'aria-describedby': 'query-error',
      autocomplete: 'off',
      autocapitalize: 'off',
      spellcheck: 'false',
      placeholder: 'actor.email:ann@example.com  action.type:delete  "exact phrase"',
      oninput: () => {
        this.fail(null);
        this.with((offers) => offers.later());
      },
      onfocus: () => this.with((offers) => offers.later()),
      onblur: () => this.offers?.leave(),
      onkeydown: (/** @type {KeyboardEvent} */ event) => this.key(event),
      onscroll: () => this.paint(),
    });
    this.behind = el('div', { class: 'behind', 'aria-hidden': 'true' });
    this.options = el('ul', {
      id: 'options',
      role: 'listbox',
      'aria-label': 'Completions',
      class: 'options',
      hidden: true,
    });
    this.error = el('p', { id: 'query-error', class: 'error', role: 'alert' });
    this.root = el(
      'div',
      { class: 'line' },
      el(
        'div',
        { class: 'q' },
        el('span', { class: 's', 'aria-hidden': 'true' }, '/'),
        el('div', { class: 'field' }, this.behind, this.input),
        this.options,
      ),
      this.error,
    );
    /** @type {number | undefined} */
    this.wrongAt = undefined;
    /** @type {import('./complete.js').Offers | undefined} */
    this.offers = undefined;
    /** @type {Promise<import('./complete.js').Offers> | undefined} */
    this.loading = undefined;
  }

  /** Does something with the completions, which are loaded first. @param {(offers: import('./complete.js').Offers) => void} task */
  with(task) {
    this.loading ??= import('./complete.js').then(({ Offers }) => (this.offers = new Offers(this)));
    this.loading.then(task);
  }

  /** Shows a query that was chosen elsewhere. @param {string} q */
  show(q) {
    if (this.input.value !== q) this.input.value = q;
    this.paint();
  }

  /** Shows that the query is wrong, and where. @param {{message: string, at?: number} | null} failure */
  fail(failure) {
    this.wrongAt = failure?.at;
    this.error.textContent = failure ? failure.message : '';
    this.input.setAttribute('aria-invalid', String(Boolean(failure)));
    this.paint();
  }

  /** @param {number} start @param {number} end */
  select(start, end) {
    this.input.focus();
    this.input.setSelectionRange(start, end);
  }

  /** Colours what is typed, and underlines the place of an error. */
  paint() {
    const text = this.input.value;
    const wrong = this.wrongAt === undefined ? -1 : [...text].slice(0, this.wrongAt).join('').length;
    put(this.behind, ...coloured(text, wrong));
    this.behind.scrollLeft = this.input.scrollLeft;
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (this.offers?.key(event)) return event.preventDefault();
    if (event.key === 'Enter') this.apply();
    else if (event.key === 'Escape') {
      event.stopPropagation();
      this.input.blur();
    } else if (event.key === 'ArrowDown') this.with((offers) => offers.now());
  }

  apply() {
    const q = this.input.value.trim();
    this.with((offers) => offers.applied(q));
    if (q === state().q) dispatchEvent(new Event('again'));
    else go({ q });
  }
}

/**
 * The text in pieces: field names, operators, and the place of an error.
 * @param {string} text
 * @param {number} wrong
 */
function coloured(text, wrong) {
  const pieces = [];
  for (const match of text.matchAll(
    /([\w.*-]+)(?=:)|\b(?:AND|OR|NOT|TO)\b|"(?:[^"\\]|\\.)*"?|[^\s"]+?(?=[:"\s]|$)|\s+|./gs,
  )) {
    const kind = match[1] ? 'k' : /^(AND|OR|NOT|TO)$/.test(match[0]) ? 'o' : '';
    const isWrong = wrong >= match.index && wrong < match.index + match[0].length;
    pieces.push(el('span', { class: `${kind}${isWrong ? ' wrong' : ''}` }, match[0]));
  }
  if (wrong >= text.length) pieces.push(el('span', { class: 'wrong' }, ' '));
  return pieces;
}
