// Who is signed in, and what they may do.

import { el } from './dom.js';
import { dialog } from './dialog.js';
import { counted } from './number.js';
import { state } from './state.js';
import { full } from './time.js';

/** @typedef {{principal: string, name: string | null, scopes: string[], sources: string[], bodies: boolean, expires_at: string | null, session: boolean}} Me */

const MAY = new Map(
  Object.entries({
    search: 'search the log',
    export: 'export events',
    alerts: 'acknowledge, assign and close alerts',
    metrics: 'read metrics',
    admin: 'read the access log, and delete shared searches',
  }),
);

/** @param {Me} me */
export function about(me) {
  const may = me.scopes.map((scope) => MAY.get(scope) ?? scope);
  const { tz } = state();
  return dialog(
    'You',
    el(
      'dl',
      { class: 'facts' },
      fact('Name', el('bdi', {}, me.name ?? '–')),
      fact('Principal', el('bdi', {}, me.principal)),
      fact('You may', el('ul', {}, ...may.map((one) => el('li', {}, one)))),
      fact('Sources', me.sources.length ? el('ul', {}, ...me.sources.map((one) => el('li', {}, one))) : 'all'),
      fact('Requests, responses and values', me.bodies ? 'shown' : 'hidden'),
      fact(
        me.session ? 'Signed in until' : 'Valid until',
        me.expires_at
          ? el('time', { datetime: me.expires_at }, `${full(me.expires_at, tz)} ${tz}`)
          : me.session
            ? 'at most 12 hours after you signed in'
            : 'no end',
      ),
    ),
    me.sources.length > 0 &&
      el(
        'p',
        { class: 'dim' },
        `Other sources do not exist for you: every number counts ${counted(me.sources.length, 'source')} alone.`,
      ),
  );
}

/** @param {string} name @param {import('./dom.js').Child} text */
const fact = (name, text) => el('div', {}, el('dt', {}, name), el('dd', {}, text));
