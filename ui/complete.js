// What the query line offers: the fields that the log has, then the values of a field, the most frequent first.

import { el, put, announce } from './dom.js';
import { ask, filters } from './api.js';
import { grouped } from './number.js';
import { written } from './query.js';
import { recall, remember } from './recent.js';
import { state } from './state.js';
import { styles } from './styles.js';

/** @typedef {{text: string, note: string, from: number, to: number, insert: string}} Option */

const WAIT = 60;

/** The list below the query line. */
export class Offers {
  /** @param {import('./line.js').QueryLine} line */
  constructor(line) {
    this.line = line;
    /** @type {Option[]} */
    this.found = [];
    this.active = -1;
    this.controller = new AbortController();
    this.timer = 0;
  }

  /** Offers something when nothing more is typed for a moment. */
  later() {
    clearTimeout(this.timer);
    this.narrow();
    this.timer = setTimeout(() => this.now(), WAIT);
  }

  /** Of what is offered, keeps what still has in it what is typed by now, until new options come. */
  narrow() {
    if (this.line.options.hidden) return;
    const { value, selectionStart } = this.line.input;
    const caret = selectionStart ?? value.length;
    const typed = (/** @type {number} */ from) => value.slice(from, caret).replace(/^"/, '').toLowerCase();
    const left = this.found.filter(({ text, from }) => from <= caret && text.toLowerCase().includes(typed(from)));
    this.offer(left.map((option) => ({ ...option, to: caret })));
  }

  async now() {
    await styles();
    this.controller.abort();
    this.controller = new AbortController();
    const { signal } = this.controller;
    const { input } = this.line;
    try {
      const found = await optionsFor(input.value, input.selectionStart ?? 0, signal);
      if (!signal.aborted && document.activeElement === input) this.offer(found);
    } catch {
      // Without completions the line works as well.
    }
  }

  /** An option that is marked stays so. @param {Option[]} found */
  offer(found) {
    const marked = this.found[this.active]?.text;
    this.found = found;
    put(
      this.line.options,
      ...found.map((option, i) =>
        el(
          'li',
          {
            role: 'option',
            id: `option-${i}`,
            'aria-selected': 'false',
            onmousedown: (/** @type {Event} */ event) => {
              event.preventDefault();
              this.take(i);
            },
          },
          el('bdi', { class: 'v' }, option.text),
          el('span', { class: 'dim' }, option.note),
        ),
      ),
    );
    this.open(found.length > 0);
    this.mark(found.findIndex(({ text }) => text === marked));
  }

  /** @param {boolean} isOpen */
  open(isOpen) {
    this.line.options.hidden = !isOpen;
    this.line.input.setAttribute('aria-expanded', String(isOpen));
    this.mark(-1);
  }

  /** @param {number} active */
  mark(active) {
    const { options, input } = this.line;
    this.active = active;
    [...options.children].forEach((option, i) => option.setAttribute('aria-selected', String(i === active)));
    if (active < 0) return input.removeAttribute('aria-activedescendant');
    input.setAttribute('aria-activedescendant', `option-${active}`);
    options.children[active].scrollIntoView({ block: 'nearest' });
  }

  /** Whether a key was for the list. @param {KeyboardEvent} event */
  key({ key }) {
    if (this.line.options.hidden) return false;
    const { length } = this.found;
    if (key === 'ArrowDown') this.mark((this.active + 1) % length);
    else if (key === 'ArrowUp') this.mark((Math.max(this.active, 0) + length - 1) % length);
    else if ((key === 'Enter' || key === 'Tab') && this.active >= 0) this.take(this.active);
    else if (key === 'Escape') this.open(false);
    else return false;
    return true;
  }

  /** @param {number} index */
  take(index) {
    const { from, to, insert } = this.found[index];
    const { input } = this.line;
    input.value = input.value.slice(0, from) + insert + input.value.slice(to);
    input.setSelectionRange(from + insert.length, from + insert.length);
    this.open(false);
    announce(insert);
    input.dispatchEvent(new Event('input'));
  }

  /** @param {string} q the query that was asked */
  applied(q) {
    remember(q);
    this.leave();
  }

  leave() {
    this.controller.abort();
    clearTimeout(this.timer);
    this.open(false);
  }
}

/** @type {Promise<{name: string, kind: string}[]> | null} */
let allFields = null;

/**
 * What can be inserted at the caret.
 * @param {string} text
 * @param {number} caret
 * @param {AbortSignal} signal
 * @returns {Promise<Option[]>}
 */
async function optionsFor(text, caret, signal) {
  if (!text) return recall().map((q) => ({ text: q, note: 'recent', from: 0, to: 0, insert: q }));
  const before = text.slice(0, caret);
  const value = /(?:^|[\s(!+-])(\w[\w.-]*):\(?(?:[^()\s]+ OR )*("?)([^\s"()]*)$/.exec(before);
  if (value) return valuesOf(value[1], value[3], caret - value[3].length - value[2].length, caret, signal);
  const name = /(?:^|[\s(!+-])([\w.]+)$/.exec(before)?.[1];
  return name ? fieldsLike(name, caret) : [];
}

/**
 * @param {string} field
 * @param {string} typed
 * @param {number} from
 * @param {number} to
 * @param {AbortSignal} signal
 */
async function valuesOf(field, typed, from, to, signal) {
  const { since, before, tz } = state();
  const given = { contains: typed, size: 8, ...filters({ ...state(), q: '', since, before, tz }) };
  const { values } = await ask(`/v1/fields/${encodeURIComponent(field)}/values`, given, { signal, isAside: true });
  return values.map((/** @type {{value: string, label?: string, count: number}} */ one) => ({
    text: one.label ?? one.value,
    note: grouped(one.count),
    from,
    to,
    insert: `${written(field, one.label ?? one.value)} `,
  }));
}

/** @param {string} typed @param {number} caret */
async function fieldsLike(typed, caret) {
  allFields ??= ask('/v1/fields', { limit: 1000 }, { isAside: true }).then(({ fields, paths }) => [
    ...fields,
    ...paths.map((/** @type {string} */ name) => ({ name, kind: '' })),
  ]);
  allFields.catch(() => {
    allFields = null;
  });
  const low = typed.toLowerCase();
  const ranked = (await allFields)
    .map((field) => ({ field, at: field.name.toLowerCase().indexOf(low) }))
    .filter(({ at }) => at >= 0);
  ranked.sort((a, b) => a.at - b.at || a.field.name.length - b.field.name.length);
  return ranked.slice(0, 8).map(({ field }) => ({
    text: field.name,
    note: field.kind,
    from: caret - typed.length,
    to: caret,
    insert: `${field.name}:`,
  }));
}
