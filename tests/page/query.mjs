// The parts of a query, and what chips and facets make of it: the text of the other parts stays as it was typed.

import assert from 'node:assert/strict';
import { joined, only, others, removed, replaced, toggled, turned } from '../../ui/edit.js';
import { has, parts, written } from '../../ui/query.js';
import { rawMember } from '../../ui/raw.js';

/** The texts of the parts. */
const texts = (query) => parts(query).map(({ text }) => text);

for (const [query, found] of [
  ['', []],
  ['  a  b ', ['a', 'b']],
  ['a AND b && c', ['a', 'b', 'c']],
  ['a OR b c', ['a OR b c']],
  ['NOT a -b !c +d', ['NOT a', '-b', '!c', '+d']],
  ['(a OR b) c', ['(a OR b)', 'c']],
  ['f:(a OR "b c") g:[1 TO 2] h:/a b/ "x y"', ['f:(a OR "b c")', 'g:[1 TO 2]', 'h:/a b/', '"x y"']],
  ['raw.uri:/client/v4/zones/* b', ['raw.uri:/client/v4/zones/*', 'b']],
  ['"a \\" b" c\\ d', ['"a \\" b"', 'c\\ d']],
  ['unclosed:"a b', ['unclosed:"a b']],
  ['- a', ['- a']],
]) {
  assert.deepEqual(texts(query), found, query);
  // A part is the text at its place.
  for (const part of parts(query)) assert.equal(query.slice(part.start, part.end), part.text);
}

assert.equal(written('action.type', 'delete'), 'delete');
assert.equal(written('actor.email', 'ann@example.com'), 'ann@example.com');
assert.equal(written('actor.token_name', 'ci'), '"ci"', 'words of a text field match as a whole in quotes only');
assert.equal(written('action.type', 'OR'), '"OR"');
assert.equal(written('action.type', 'a "b" \\c'), '"a \\"b\\" \\\\c"');

const typed = 'action.type:(create OR delete)   -actor.email:"ben@example.com" AND dns';
assert.equal(has(typed, 'action.type', 'DELETE'), 'only');
assert.equal(has(typed, 'actor.email', 'ben@example.com'), 'without');
assert.equal(has(typed, 'action.type', 'update'), '');

for (const [query, field, value, not, after] of [
  ['', 'f', 'a b', false, 'f:"a b"'],
  ['dns', 'action.type', 'create', false, 'dns action.type:create'],
  ['action.type:create  dns', 'action.type', 'delete', false, 'action.type:(create OR delete)  dns'],
  ['action.type:(create OR delete)  dns', 'action.type', 'create', false, 'action.type:delete  dns'],
  ['a  action.type:create  b', 'action.type', 'create', false, 'a  b'],
  ['action.type:create b', 'action.type', 'create', true, 'b -action.type:create'],
  ['-action.type:create b', 'action.type', 'create', true, 'b'],
  ['a OR b', 'action.type', 'create', false, '(a OR b) action.type:create'],
  ['action.type:cr*', 'action.type', 'create', false, 'action.type:cr* action.type:create'],
]) {
  assert.equal(toggled(query, field, value, not), after, `${query}, ${value}`);
}

assert.equal(only(typed, 'action.type', 'update'), '-actor.email:"ben@example.com" AND dns action.type:update');
assert.equal(others(typed, 'actor.email'), 'action.type:(create OR delete) AND dns');
assert.equal(removed('a AND b AND c', parts('a AND b AND c')[1]), 'a AND c');
assert.equal(replaced('a  b', parts('a  b')[1], 'c'), 'a  c');
assert.equal(joined('f:(a OR b)', 'c'), 'f:(a OR b) c', 'an OR within brackets needs no others');

// Turned twice, a part means what it meant.
for (const query of ['a', '-a', 'NOT a', 'f:(a OR b)', '-(a OR b)']) {
  const twice = turned(parts(turned(parts(query)[0]))[0]);
  assert.equal(twice.replace(/^NOT /, '-'), query.replace(/^NOT /, '-'));
}
assert.equal(turned(parts('a OR b')[0]), '-(a OR b)');
assert.equal(turned(parts('-a OR b')[0]), '-(-a OR b)');

// The exact text of a member: numbers and escapes stay.
for (const [json, text] of [
  [
    '{"a":1,"entry":{"n":1e400,"t":"\\u00e9 }","x":[1,{"entry":2}]},"b":2}',
    '{"n":1e400,"t":"\\u00e9 }","x":[1,{"entry":2}]}',
  ],
  ['{"e":"\\"entry\\":","entry" : 1.0 }', '1.0'],
  ['{ "entry":null}', 'null'],
  ['{"\\u0065ntry":"a\\\\"}', '"a\\\\"'],
  ['{"a":{"entry":1}}', ''],
  ['{}', ''],
]) {
  assert.equal(rawMember(json, 'entry'), text, json);
}
