// Times, written in the chosen zone. The page's own clock decides nothing but labels: the service reads `now-7d` itself.

/** @type {Map<string, Intl.DateTimeFormat>} */
const formats = new Map();

/**
 * @param {string} zone
 * @param {Intl.DateTimeFormatOptions} options
 */
function format(zone, options) {
  const key = zone + JSON.stringify(options);
  let found = formats.get(key);
  if (!found) {
    found = new Intl.DateTimeFormat('en-GB', { timeZone: zone, hourCycle: 'h23', ...options });
    formats.set(key, found);
  }
  return found;
}

/**
 * Whether the browser knows a zone. The service knows more of them; then the page writes UTC.
 * @param {string} zone
 */
export function isKnownZone(zone) {
  try {
    format(zone, {});
    return true;
  } catch {
    return false;
  }
}

/**
 * The time of day: `16:42:07` and, apart, `.056`.
 * @param {string} time RFC 3339
 * @param {string} zone
 * @returns {[string, string]}
 */
export function clock(time, zone) {
  const fraction = /\.(\d{1,3})/.exec(time)?.[1] ?? '';
  return [
    format(zone, { hour: '2-digit', minute: '2-digit', second: '2-digit' }).format(new Date(time)),
    fraction && `.${fraction.padEnd(3, '0')}`,
  ];
}

/**
 * A day as a heading: `Thursday 26 November 2026`.
 * @param {string | Date} time
 * @param {string} zone
 */
export function day(time, zone) {
  return format(zone, { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' })
    .format(new Date(time))
    .replaceAll(',', '');
}

/**
 * A date and time to the second: `26 November 2026, 16:42:07`.
 * @param {string | Date} time
 * @param {string} zone
 */
export function full(time, zone) {
  const at = new Date(time);
  const date = format(zone, { day: 'numeric', month: 'long', year: 'numeric' }).format(at);
  return `${date}, ${format(zone, { hour: '2-digit', minute: '2-digit', second: '2-digit' }).format(at)}`;
}

/**
 * A date and time to the minute: `26 Nov 2026 16:42`.
 * @param {string | Date} time
 * @param {string} zone
 */
export function short(time, zone) {
  const at = new Date(time);
  const date = format(zone, { day: 'numeric', month: 'short', year: 'numeric' }).format(at);
  return `${date} ${format(zone, { hour: '2-digit', minute: '2-digit' }).format(at)}`;
}

/**
 * How far a zone's clocks are from UTC: `GMT+2`.
 * @param {string} time
 * @param {string} zone
 */
export function offset(time, zone) {
  const parts = format(zone, { timeZoneName: 'shortOffset' }).formatToParts(new Date(time));
  return parts.find(({ type }) => type === 'timeZoneName')?.value ?? '';
}

/**
 * A label below an axis whose marks are `step` milliseconds apart.
 * @param {Date} at
 * @param {string} zone
 * @param {number} step
 */
export function tick(at, zone, step) {
  const date = format(zone, {
    day: 'numeric',
    month: 'short',
    ...(step > 300 * 86400e3 && { year: 'numeric' }),
  }).format(at);
  if (step >= 86400e3) return date;
  const time = format(zone, { hour: '2-digit', minute: '2-digit', ...(step < 60e3 && { second: '2-digit' }) }).format(
    at,
  );
  return time === '00:00' ? date : time;
}

/**
 * How long ago something was, in words.
 * @param {string} time
 * @param {number} [now] milliseconds
 */
export function secondsSince(time, now = Date.now()) {
  return Math.max(0, (now - Date.parse(time)) / 1000);
}
