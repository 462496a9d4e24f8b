// Shows that something is being done: a thin bar after a moment, and a button that cancels.

import { button } from './dom.js';

const WAIT = 150;

/**
 * Runs `task`; the one before it is cancelled.
 * @param {HTMLElement} bar
 */
export function oneAtATime(bar) {
  /** @type {AbortController | undefined} */
  let running;
  /**
   * @template T
   * @param {(signal: AbortSignal) => Promise<T>} task
   * @returns {Promise<T | undefined>} undefined if another task took its place, or the user cancelled it
   */
  return async (task) => {
    running?.abort();
    const controller = (running = new AbortController());
    const cancel = button('Cancel', () => controller.abort(), { class: 'cancel' });
    const timer = setTimeout(() => {
      bar.hidden = false;
      bar.replaceChildren(cancel);
      document.body.setAttribute('aria-busy', 'true');
    }, WAIT);
    try {
      return await task(controller.signal);
    } catch (error) {
      if (controller.signal.aborted) return undefined;
      throw error;
    } finally {
      clearTimeout(timer);
      if (running === controller) {
        bar.hidden = true;
        document.body.removeAttribute('aria-busy');
      }
    }
  };
}
