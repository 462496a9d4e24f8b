// Asks the service. An answer is JSON; an error is a `Failure` that says what happened and where.

export class Failure extends Error {
  /**
   * @param {string} message
   * @param {{status?: number, parameter?: string, at?: number, retryAfter?: number}} [more] status 0: there was no answer
   */
  constructor(message, { status = 0, parameter = '', at, retryAfter = 0 } = {}) {
    super(message);
    this.status = status;
    this.parameter = parameter;
    this.at = at;
    this.retryAfter = retryAfter;
  }
}

/**
 * The parameters of a request. Lists repeat their name; empty values are left out.
 * @param {Record<string, unknown>} given
 */
export function parameters(given) {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(given)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== '' && one != null && one !== false) params.append(name, String(one));
    }
  }
  return params;
}

/**
 * The answer as JSON.
 * @param {string} path
 * @param {Record<string, unknown>} [given]
 * @param {{signal?: AbortSignal, method?: string, body?: unknown, isAside?: boolean}} [how] `isAside`: the user does not wait for it
 * @returns {Promise<any>}
 */
export async function ask(path, given = {}, { signal, method, body, isAside } = {}) {
  const query = parameters(given).toString();
  const json = body ? { headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) } : {};
  const response = await send(query ? `${path}?${query}` : path, { method, signal, ...json }, isAside);
  return response.status === 204 ? null : response.json();
}

/**
 * The answer, its body still to be read. Without a session, the page asks for a token.
 * @param {string} path
 * @param {RequestInit} [how]
 * @param {boolean} [isAside]
 */
export async function send(path, how = {}, isAside = false) {
  let response;
  try {
    response = await fetch(path, { credentials: 'same-origin', ...how });
  } catch (error) {
    if (how.signal?.aborted) throw error;
    throw new Failure('The service does not answer. Is it running, and is this computer online?');
  }
  if (response.ok) return response;
  const mayHaveEnded = response.status === 401 && path !== '/v1/session' && !isAside;
  if (mayHaveEnded) dispatchEvent(new Event('sign-in'));
  throw await failureOf(response);
}

/** @param {Response} response */
async function failureOf(response) {
  const retryAfter = Number(response.headers.get('Retry-After')) || 0;
  try {
    const { detail, title, parameter, at } = await response.json();
    return new Failure(detail || title, { status: response.status, parameter, at, retryAfter });
  } catch {
    return new Failure(`The service answered ${response.status}.`, { status: response.status, retryAfter });
  }
}

/**
 * The filters of the shown question, as every route takes them.
 * @param {import('./state.js').State} state
 */
export function filters({ q, since, before, tz }) {
  return { q, since, before, tz: tz === 'UTC' ? '' : tz };
}
