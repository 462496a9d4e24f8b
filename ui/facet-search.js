// Searches in a facet: the values that contain a text, the rarest values, and the fields that can be counted.

import { ask, filters } from './api.js';
import { others } from './edit.js';
import { state } from './state.js';
import { suggest } from './suggest.js';

/** The search of each field that is under way. @type {Map<string, AbortController>} */
const searching = new Map();

/**
 * The values of a field that contain a text; null if another search took its place, or none can be had. What the query says of
 * the field itself is left out, as it is of the counts of a facet.
 * @param {string} field
 * @param {string} text
 * @param {boolean} isRare
 */
export async function valuesLike(field, text, isRare) {
  searching.get(field)?.abort();
  const controller = new AbortController();
  searching.set(field, controller);
  const now = state();
  const sort = isRare ? 'rare' : '';
  const given = text
    ? { ...filters({ ...now, q: others(now.q, field) }), size: 10, contains: text, sort }
    : { ...filters(now), field, size: 10, sort, exclude_own: true };
  const path = text ? `/v1/fields/${encodeURIComponent(field)}/values` : '/v1/facets';
  const answer = await ask(path, given, { signal: controller.signal }).catch(() => null);
  return answer && (answer.values ?? Object.values(answer.facets)[0].values);
}

/**
 * Whether events have a path. If not, that is said beside the field in which it was typed.
 * @param {string} path
 * @param {HTMLElement} field
 * @param {HTMLElement} error
 */
export async function isPath(path, field, error) {
  // The last moment alone: only the path is of interest.
  const failure = await ask('/v1/facets', { field: path, size: 1, since: 'now-1s' }).then(
    () => null,
    (reason) => reason,
  );
  error.textContent = failure ? failure.message : '';
  field.setAttribute('aria-invalid', String(Boolean(failure)));
  if (failure) field.setAttribute('aria-describedby', error.id);
  else field.removeAttribute('aria-describedby');
  return !failure;
}

/** @type {Promise<string[]> | undefined} */
let names;

/** Offers the fields that can be counted and shown. @param {HTMLInputElement} field */
export function offerFields(field) {
  return suggest(field, () => {
    names ??= ask('/v1/fields', { limit: 1000 }, { isAside: true }).then(
      ({ fields, paths }) => [...fields.map((/** @type {{name: string}} */ { name }) => name), ...paths],
      () => {
        names = undefined;
        return [];
      },
    );
    return names;
  });
}
