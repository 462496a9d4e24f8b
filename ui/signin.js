// Sign-in: a token becomes a cookie that scripts cannot read.

import { el, put } from './dom.js';
import { ask } from './api.js';
import { styles } from './styles.js';

/** @param {HTMLElement} main @param {() => void} done */
export async function signIn(main, done) {
  await styles();
  document.title = 'Sign in · orgtrail';
  const token = el('input', {
    type: 'password',
    id: 'token',
    autocomplete: 'current-password',
    spellcheck: 'false',
    required: true,
    'aria-describedby': 'token-error',
  });
  const trouble = el('p', { class: 'error', id: 'token-error', role: 'alert' });
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    try {
      await ask('/v1/session', {}, { method: 'POST', body: { token: token.value.trim() } });
      done();
    } catch (error) {
      trouble.textContent = /** @type {Error} */ (error).message;
      token.setAttribute('aria-invalid', 'true');
      token.select();
    }
  };
  put(
    main,
    el(
      'section',
      { class: 'page sign-in' },
      el('h1', {}, 'Sign in'),
      el(
        'p',
        { class: 'lead' },
        'The operator of this service makes tokens: ',
        el('code', {}, 'orgtrail token create'),
        '.',
      ),
      el('form', { onsubmit: submit }, el('label', { for: 'token' }, 'Token'), token, el('button', {}, 'Sign in')),
      trouble,
    ),
  );
  token.focus();
}
