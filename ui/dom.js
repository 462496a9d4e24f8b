// Makes elements. Strings become text nodes and attribute values, never markup, so hostile data stays text.

const SVG = 'http://www.w3.org/2000/svg';

/**
 * @typedef {Node | string | number | null | undefined | false} Child
 * @typedef {Record<string, unknown>} Props `on…` functions are listeners; true and false set or leave out an attribute.
 */

/**
 * Makes an HTML element.
 * @template {keyof HTMLElementTagNameMap} N
 * @param {N} name
 * @param {Props} [props]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[N]}
 */
export function el(name, props = {}, ...children) {
  return fill(document.createElement(name), props, children);
}

/**
 * Makes an SVG element.
 * @param {string} name
 * @param {Props} [props]
 * @param {...Child} children
 */
export function svg(name, props = {}, ...children) {
  return fill(document.createElementNS(SVG, name), props, children);
}

/**
 * @template {Element} E
 * @param {E} element
 * @param {Props} props
 * @param {Child[]} children
 */
function fill(element, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === 'function') element.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    else if (value !== false && value != null) element.setAttribute(name, value === true ? '' : String(value));
  }
  const isData = DATA.has(element.localName);
  element.append(...present(isData ? children.map((one) => (typeof one === 'string' ? visible(one) : one)) : children));
  return element;
}

/** Elements whose text is data. */
const DATA = new Set(['bdi', 'mark', 'del', 'ins']);

/**
 * Controls, marks of direction and blanks without a width, which would show a text as another one. Joiners belong to some scripts
 * and to pictures.
 */
const UNSEEN =
  /[\0-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]|(?<![\p{Extended_Pictographic}\p{M}\p{Script=Arabic}])[\u200c\u200d]/gu;

/** A text with a sign for each character that could not be seen. @param {string} text */
export const visible = (text) =>
  text.replace(UNSEEN, (one) => `⟨U+${one.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}⟩`);

/** @param {Child[]} children */
function present(children) {
  return children
    .filter((child) => child != null && child !== false)
    .map((child) => (child instanceof Node ? child : String(child)));
}

/**
 * Replaces what an element contains.
 * @param {Element} element
 * @param {...Child} children
 */
export function put(element, ...children) {
  element.replaceChildren(...present(children));
}

/**
 * A button with a visible text.
 * @param {Child} text
 * @param {(event: Event) => void} onclick
 * @param {Props} [props]
 */
export function button(text, onclick, props = {}) {
  return el('button', { type: 'button', onclick, ...props }, text);
}

/**
 * A small line drawing. It is decoration: its meaning is always in a text beside it.
 * @param {string} shape
 */
export function icon(shape) {
  return svg(
    'svg',
    { class: `i ${shape}`, viewBox: '0 0 16 16', 'aria-hidden': 'true' },
    svg('path', { d: SHAPES.get(shape) }),
  );
}

const SHAPES = new Map(
  Object.entries({
    create: 'M8 3.5v9M3.5 8h9',
    update: 'M3.5 10.5 10 4l2 2-6.5 6.5H3.5z',
    delete: 'M4 4l8 8M12 4l-8 8',
    view: 'M1.8 8S4 4 8 4s6.2 4 6.2 4-2.2 4-6.2 4-6.2-4-6.2-4zM8 6.2a1.8 1.8 0 1 1 0 3.6 1.8 1.8 0 0 1 0-3.6',
    login: 'M7 3.5h5.5v9H7M2.5 8h7M7 5.5 9.5 8 7 10.5',
    other: 'M8 6.5a1.5 1.5 0 1 1 0 3 1.5 1.5 0 0 1 0-3',
  }),
);

/**
 * The shape of an action type.
 * @param {unknown} type
 * @returns {string}
 */
export function shapeOf(type) {
  const name = String(type ?? '').toLowerCase();
  return SHAPES.has(name) ? name : name === 'logout' ? 'login' : 'other';
}

/**
 * Says something to screen readers.
 * @param {string} text
 */
export function announce(text) {
  const said = document.getElementById('said');
  if (said) said.textContent = text;
}
