// The counts beside the list: how often each value occurs, exactly, and what including or excluding it does to the query.

import { el, put, button } from './dom.js';
import { counted, grouped } from './number.js';
import { go, state } from './state.js';

/** What the events request adds for the facets. */
export const facetParameters = () => ({ facet: state().facets, facet_size: 10, exclude_own: true });

/** @typedef {{value: string, label: string, count: number}} Counted */
/** @typedef {{values: Counted[], missing: number, distinct: number, other: number}} Facet */

/** @type {typeof import('./query.js').has} */
let chosenIn = () => '';

export class Facets {
  constructor() {
    this.groups = el('div', { class: 'groups' });
    this.field = el('input', {
      type: 'text',
      'aria-label': 'Add facet',
      placeholder: 'Add facet',
      autocomplete: 'off',
      spellcheck: 'false',
      onfocus: () => import('./facet-search.js').then(({ offerFields }) => offerFields(this.field)),
    });
    this.error = el('p', { class: 'error', id: 'facet-error', role: 'alert' });
    this.root = el(
      'section',
      { class: 'facets', role: 'region', 'aria-label': 'Facets' },
      this.groups,
      el(
        'form',
        {
          onsubmit: (/** @type {Event} */ event) => {
            event.preventDefault();
            this.add();
          },
        },
        el('span', {}, this.field),
        this.error,
      ),
    );
  }

  /** @param {Record<string, Facet>} facets @param {typeof import('./query.js').has} [has] whether the query has a value */
  show(facets, has = () => '') {
    chosenIn = has;
    const focused = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset.key;
    put(this.groups, ...Object.entries(facets).map(([field, facet]) => group(field, facet)));
    if (focused)
      /** @type {HTMLElement | null} */ (this.groups.querySelector(`[data-key="${CSS.escape(focused)}"]`))?.focus();
  }

  async add() {
    const field = this.field.value.trim();
    if (!field || state().facets.includes(field)) return;
    const { isPath } = await import('./facet-search.js');
    if (!(await isPath(field, this.field, this.error))) return;
    this.field.value = '';
    go({ facets: [...state().facets, field] });
  }
}

/** @param {string} field @param {Facet} facet */
function group(field, facet) {
  const isRare = state().rare.includes(field);
  const list = el('ul', {});
  const search = el('input', {
    type: 'search',
    'aria-label': `Search ${field}`,
    placeholder: 'Search',
    'data-key': `${field}?`,
    oninput: () => find(field, search.value, list, facet),
  });
  const rest = [
    facet.other > 0 && `${grouped(facet.other)} with other values`,
    facet.missing > 0 && `${grouped(facet.missing)} without`,
  ]
    .filter(Boolean)
    .join(', ');
  values(list, field, facet.values);
  if (isRare) find(field, '', list, facet);
  return el(
    'div',
    { class: 'facet', role: 'group', 'aria-label': field },
    el(
      'h2',
      {},
      el('span', {}, field),
      el('span', { class: 'dim', title: counted(facet.distinct, 'value') }, grouped(facet.distinct)),
    ),
    el(
      'div',
      { class: 'tools' },
      search,
      button(
        'Rarest first',
        () => go({ rare: isRare ? state().rare.filter((one) => one !== field) : [...state().rare, field] }),
        { 'aria-pressed': String(isRare), 'data-key': `${field}!` },
      ),
      button('×', () => go({ facets: state().facets.filter((one) => one !== field) }), {
        'aria-label': `Remove facet ${field}`,
        title: 'Remove',
      }),
    ),
    list,
    rest && el('p', { class: 'dim rest' }, rest),
  );
}

/** @param {Element} list @param {string} field @param {Counted[]} found */
function values(list, field, found) {
  const most = Math.max(1, ...found.map(({ count }) => count));
  put(list, ...found.map((one) => value(field, one, most)));
}

/** @param {string} field @param {Counted} one @param {number} most */
function value(field, { value: exact, label, count }, most) {
  const chosen = chosenIn(state().q, field, exact);
  const bar = el('span', { class: 'bar', 'aria-hidden': 'true' });
  bar.style.inlineSize = `${(100 * count) / most}%`;
  return el(
    'li',
    { class: chosen },
    button('', () => toggle(field, exact, false), {
      class: 'value',
      'aria-pressed': String(chosen === 'only'),
      'aria-label': `${label || 'empty'} ${grouped(count)}`,
      title: label,
      'data-field': field,
      'data-value': exact,
      'data-key': `${field}:${exact}`,
    }).appendChild(el('span', { class: 'v' }, el('bdi', {}, label || '(empty)'))).parentElement,
    el('span', { class: 'c', 'aria-hidden': 'true' }, grouped(count)),
    button('−', () => toggle(field, exact, true), {
      class: 'exclude',
      'aria-label': `Exclude ${label || 'empty'}`,
      'aria-pressed': String(chosen === 'without'),
      title: 'Exclude',
      'data-key': `${field}-${exact}`,
    }),
    bar,
  );
}

/** @param {string} field @param {string} value @param {boolean} not */
async function toggle(field, value, not) {
  const { toggled } = await import('./edit.js');
  go({ q: toggled(state().q, field, value, not) });
}

/** @param {string} field @param {string} text @param {Element} list @param {Facet} facet */
async function find(field, text, list, facet) {
  const isRare = state().rare.includes(field);
  if (!text && !isRare) return values(list, field, facet.values);
  const { valuesLike } = await import('./facet-search.js');
  const found = await valuesLike(field, text, isRare);
  if (found) values(list, field, found);
}
