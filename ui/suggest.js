// Suggestions below a text field: names that contain what is typed. The field takes any text.

import { el, put, announce } from './dom.js';
import { counted } from './number.js';
import { styles } from './styles.js';

const MOST = 8;

/** @type {WeakMap<HTMLInputElement, Suggestions>} */
const known = new WeakMap();
let n = 0;

/**
 * Offers names from now on, when the field is used.
 * @param {HTMLInputElement} field
 * @param {() => Promise<string[]> | string[]} names
 */
export async function suggest(field, names) {
  await styles();
  let found = known.get(field);
  if (!found) known.set(field, (found = new Suggestions(field, names)));
  found.offer();
}

class Suggestions {
  /** @param {HTMLInputElement} field @param {() => Promise<string[]> | string[]} names */
  constructor(field, names) {
    this.field = field;
    this.names = names;
    this.active = -1;
    this.id = `suggestions-${(n += 1)}`;
    this.list = el('ul', {
      id: this.id,
      role: 'listbox',
      'aria-label': `Suggestions for ${field.getAttribute('aria-label')}`,
      class: 'options',
      hidden: true,
    });
    field.setAttribute('aria-autocomplete', 'list');
    field.setAttribute('aria-controls', this.id);
    field.parentElement?.append(this.list);
    field.parentElement?.classList.add('suggests');
    field.addEventListener('input', () => this.offer());
    field.addEventListener('blur', () => this.close());
    field.addEventListener('keydown', (event) => this.key(event));
  }

  /** Nothing is offered for an empty field, unless it is asked for. */
  async offer(isWanted = false) {
    const typed = this.field.value.trim().toLowerCase();
    if (!typed && !isWanted) return this.close();
    const all = await this.names();
    if (document.activeElement !== this.field || this.field.value.trim().toLowerCase() !== typed) return;
    const found = all.filter((name) => name.toLowerCase().includes(typed)).slice(0, MOST);
    if (found.length === 1 && found[0] === this.field.value) found.pop();
    put(
      this.list,
      ...found.map((name, i) =>
        el(
          'li',
          {
            role: 'option',
            id: `${this.id}-${i}`,
            'aria-selected': 'false',
            onmousedown: (/** @type {Event} */ event) => {
              event.preventDefault();
              this.take(name);
            },
          },
          name,
        ),
      ),
    );
    this.list.hidden = !found.length;
    this.mark(-1);
    if (typed && found.length) announce(counted(found.length, 'suggestion'));
  }

  /** @param {number} active */
  mark(active) {
    this.active = active;
    [...this.list.children].forEach((option, i) => option.setAttribute('aria-selected', String(i === active)));
    if (active < 0) return this.field.removeAttribute('aria-activedescendant');
    this.field.setAttribute('aria-activedescendant', `${this.id}-${active}`);
    this.list.children[active].scrollIntoView({ block: 'nearest' });
  }

  /** @param {string} name */
  take(name) {
    this.field.value = name;
    this.close();
  }

  close() {
    this.list.hidden = true;
    this.mark(-1);
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (this.list.hidden) {
      if (event.key === 'ArrowDown') this.offer(true);
      return;
    }
    const { length } = this.list.children;
    if (event.key === 'ArrowDown') this.mark((this.active + 1) % length);
    else if (event.key === 'ArrowUp') this.mark((Math.max(this.active, 0) + length - 1) % length);
    else if (event.key === 'Enter' && this.active >= 0) this.take(this.list.children[this.active].textContent ?? '');
    else if (event.key === 'Escape') {
      event.stopPropagation();
      this.close();
    } else {
      if (event.key === 'Enter') this.close();
      return;
    }
    event.preventDefault();
  }
}
