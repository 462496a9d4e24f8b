// Says what changes while the view of alerts is shown.

import { parameters } from './api.js';
import { listen, state } from './state.js';

/** @type {EventSource | undefined} */
let stream;

function stop() {
  stream?.close();
  stream = undefined;
}

listen(({ view }) => {
  if (view !== 'alerts') stop();
});

/**
 * Calls `take` with each alert that changes from now on, of the rule and level that are shown. The browser connects again by itself
 * after a lost connection, with the last id.
 * @param {(alert: any) => void} take
 */
export function hear(take) {
  stop();
  const { rule, level } = state();
  stream = new EventSource(`/v1/alerts/stream?${parameters({ rule, level })}`);
  stream.onmessage = ({ data }) => take(JSON.parse(data));
}
