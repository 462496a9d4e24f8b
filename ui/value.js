// One value of an event, with what can be done with it: only, without, copy, and the profile of what it names.

import { el, button, announce } from './dom.js';
import { cut } from './cells.js';
import { go, state } from './state.js';
import { only, toggled } from './edit.js';

/** The most characters of a value that is searched as it is, and that is shown of any. */
const MOST_SEARCHED = 500;
/** The fields whose values have a profile. */
const PROFILES = new Map(
  Object.entries({
    'actor.email': 'actors',
    'actor.id': 'actors',
    'actor.token_id': 'tokens',
    'actor.ip_address': 'ips',
    'resource.id': 'resources',
  }),
);

/**
 * @param {string} field
 * @param {unknown} value
 */
export function valueWithTools(field, value) {
  const text = typeof value === 'object' ? JSON.stringify(value) : String(value);
  // A very long value is searched by its beginning and a hash, which only a facet has.
  const isLong = text.length > MOST_SEARCHED;
  const profile = !isLong && PROFILES.get(field);
  const small = (/** @type {string} */ sign, /** @type {string} */ name, /** @type {() => void} */ does) =>
    button(sign, does, { 'aria-label': `${name} ${cut(text, 100)}`, title: name });
  return el(
    'span',
    { class: 'value-tools' },
    el(
      'bdi',
      { class: 'text', tabindex: '0', 'data-field': isLong ? null : field, 'data-value': isLong ? null : text },
      cut(text, MOST_SEARCHED) || '(empty)',
    ),
    el(
      'span',
      { class: 'tools' },
      !isLong && small('＝', 'Only', () => go({ q: only(state().q, field, text), event: '' })),
      !isLong && small('−', 'Without', () => go({ q: toggled(state().q, field, text, true), event: '' })),
      small('⧉', 'Copy', () => copy(text)),
      profile && small('→', 'Open profile of', () => go({ view: 'profile', of: `${profile}/${text}` })),
    ),
  );
}

/** @param {string} text */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    announce('Copied.');
  } catch {
    // The clipboard needs a secure context; a selected field can be copied by hand.
    const field = el('textarea', { class: 'vh', 'aria-label': 'Copy' }, text);
    document.body.append(field);
    field.select();
    announce(document.execCommand('copy') ? 'Copied.' : 'The browser does not allow copying.');
    field.remove();
  }
}
