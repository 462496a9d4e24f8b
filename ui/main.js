// Starts the page: who is signed in, which view the address names, and the keys.

import { el, put, button } from './dom.js';
import { ask } from './api.js';
import { Events } from './events.js';
import { DEFAULTS, address, go, listen, state } from './state.js';

const main = /** @type {HTMLElement} */ (document.getElementById('main'));
const bar = /** @type {HTMLElement} */ (document.getElementById('work'));
const head = /** @type {HTMLElement} */ (document.getElementById('top'));

/** @type {Events | undefined} */
let events;
/** @type {import('./me.js').Me | undefined} */
let me;
/** @type {Promise<typeof import('./keys.js')> | undefined} */
let keys;
let isSigningIn = false;

/** The views that have a link. */
const LINKED = ['Events', 'Alerts', 'Sources'];

/** The views that are loaded when they are opened. */
const VIEW_FILES = {
  alerts: () => import('./alerts.js'),
  profile: () => import('./profile.js'),
  sources: () => import('./sources.js'),
};

/** The keys of `keys.js`. */
const SHORTCUTS = ['/', 't', 'l', 'j', 'k', 'o', '[', ']', 'f', 'x', '?', 'Escape'];

/** @param {import('./state.js').State} now @param {import('./state.js').State} [before] */
async function show(now, before) {
  if (!me) return;
  showTop();
  main.className = now.view;
  if (now.view === 'events') {
    if (before?.view !== 'events' || !events) {
      before = events?.back();
      events ??= new Events(main, bar, me.scopes.includes('export'));
    }
    events.show(now, before);
    return;
  }
  if (before?.view === 'events') events?.leave(before);
  const view = await VIEW_FILES[/** @type {'alerts' | 'profile' | 'sources'} */ (now.view)]();
  if (state() === now) await view.show(main, me);
}

function showTop() {
  const { view } = state();
  const who = me;
  put(
    head,
    el('span', { class: 'mark' }, 'orgtrail'),
    el('nav', { 'aria-label': 'Views' }, ...LINKED.map((name) => link(name, name.toLowerCase(), view))),
    el('span', { class: 'grow' }),
    who &&
      button(el('bdi', {}, who.name ?? who.principal), () => import('./me.js').then(({ about }) => about(who)), {
        class: 'me',
        title: 'Who you are, and what you may do',
      }),
    who?.session && button('Sign out', signOut),
    button('?', () => import('./help.js').then(({ help }) => help()), { 'aria-label': 'Keys', title: 'Keys' }),
  );
}

/** @param {string} name @param {string} view @param {string} current */
function link(name, view, current) {
  const to = { ...DEFAULTS, tz: state().tz, view };
  return el(
    'a',
    {
      href: address(to),
      'aria-current': view === current && 'page',
      onclick: (/** @type {MouseEvent} */ event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
        event.preventDefault();
        // Asked again, not as it was left.
        events = undefined;
        go(to);
      },
    },
    name,
  );
}

async function signOut() {
  const { forget } = await import('./recent.js');
  forget();
  await ask('/v1/session', {}, { method: 'DELETE' }).catch(() => null);
  location.reload();
}

/** Asks for a token: at first, and when a session has ended. */
async function signIn() {
  if (isSigningIn) return;
  isSigningIn = true;
  events?.stopTail();
  events = undefined;
  me = undefined;
  showTop();
  const { signIn: open } = await import('./signin.js');
  await open(main, () => {
    isSigningIn = false;
    start();
  });
}

async function start() {
  try {
    me = await ask('/v1/me');
    await show(state());
  } catch (error) {
    if (!isSigningIn) fail(error, start);
  }
}

/** Says that something failed that the views do not expect, and how to go on. @param {any} error @param {() => void} again */
function fail(error, again) {
  // A file of the page cannot be loaded: the connection is lost, or the service has another version now.
  const isOld = error instanceof TypeError && /module/i.test(error.message);
  const text = isOld
    ? 'A part of the page could not be loaded. The connection may be lost, or the service may have been updated.'
    : error.message;
  document.getElementById('trouble')?.remove();
  main.before(
    el(
      'div',
      { class: 'note', id: 'trouble', role: 'alert' },
      el(
        'p',
        { class: 'error' },
        text,
        ' ',
        button(isOld ? 'Reload' : 'Try again', () => {
          document.getElementById('trouble')?.remove();
          again();
        }),
      ),
    ),
  );
}

addEventListener('unhandledrejection', ({ reason }) => fail(reason, () => location.reload()));
addEventListener('sign-in', signIn);
addEventListener('again', () => events?.load());
addEventListener('online', () => events?.online());
listen(show);
document.querySelector('.skip')?.addEventListener('click', (event) => {
  const { list } = (state().view === 'events' && events) || {};
  if (!list?.pages.length) return;
  event.preventDefault();
  list.move((move) => move.focus(list, Math.max(0, list.current)));
});
addEventListener('keydown', (event) => {
  const { target } = event;
  if (
    event.defaultPrevented ||
    event.ctrlKey ||
    event.altKey ||
    event.metaKey ||
    !(target instanceof Element) ||
    target.closest('input, textarea, select, dialog') ||
    !SHORTCUTS.includes(event.key)
  )
    return;
  if (event.key !== 'Escape') event.preventDefault();
  keys ??= import('./keys.js');
  keys.then(({ act }) => act(event.key, target, events));
});
start();
