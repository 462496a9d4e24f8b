// The exact text of a member in a JSON object: as it was sent, where parsing and writing again would change numbers and escapes.

/**
 * @param {string} json an object
 * @param {string} name
 */
export function rawMember(json, name) {
  let at = json.indexOf('{') + 1;
  while (at > 0 && at < json.length) {
    at = skipBlank(json, at);
    if (json[at] !== '"') return '';
    const keyEnd = endOfValue(json, at);
    const key = JSON.parse(json.slice(at, keyEnd));
    const start = skipBlank(json, json.indexOf(':', keyEnd) + 1);
    const end = endOfValue(json, start);
    if (key === name) return json.slice(start, end);
    at = skipBlank(json, end);
    if (json[at] !== ',') return '';
    at += 1;
  }
  return '';
}

/** @param {string} json @param {number} at */
function skipBlank(json, at) {
  while (' \t\r\n'.includes(json[at])) at += 1;
  return at;
}

/** @param {string} json @param {number} start */
function endOfValue(json, start) {
  let depth = 0;
  for (let at = start; at < json.length; at += 1) {
    const c = json[at];
    if (c === '"') {
      for (at += 1; at < json.length && json[at] !== '"'; at += 1) if (json[at] === '\\') at += 1;
      if (depth === 0) return at + 1;
    } else if (c === '{' || c === '[') depth += 1;
    else if (c === '}' || c === ']') {
      if (depth === 0) return at;
      depth -= 1;
      if (depth === 0) return at + 1;
    } else if (depth === 0 && ', \t\r\n:'.includes(c)) return at;
  }
  return json.length;
}
