import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { topLevelValues, topLevelValuesOfEach } from '../../../src/protocol/json-spans.ts';
import { isTooDeep, MAX_JSON_DEPTH } from '../../../src/protocol/json-text.ts';

const object = fc.dictionary(fc.oneof(fc.string(), fc.constant('__proto__')), fc.jsonValue());

describe('the text of top-level values', () => {
  it.each([
    ['a number that no double holds', '{"data":9007199254740993}', '9007199254740993'],
    ['an infinite number', '{"data":1e999}', '1e999'],
    ['a negative zero', '{"data":-0}', '-0'],
    ['white space inside', '{"data" :\t[ 1 ,\n2 ] , "to":1}', '[ 1 ,\n2 ]'],
    ['keys in their order, and twice', '{"data":{"b":1,"a":2,"b":3}}', '{"b":1,"a":2,"b":3}'],
    ['a key of digits', '{"data":{"2":0,"1":0}}', '{"2":0,"1":0}'],
    ['__proto__', '{"data":{"__proto__":{"x":1}}}', '{"__proto__":{"x":1}}'],
    ['escapes', '{"data":"\\ud800 \\u00e9 \\/ \\\\"}', '"\\ud800 \\u00e9 \\/ \\\\"'],
    ['separators of lines', '{"data":"\u2028\u2029"}', '"\u2028\u2029"'],
    ['brackets and quotes in strings', '{"x":"}\\"]","data":"{[\\\\"}', '"{[\\\\"'],
    ['a key with escapes', '{"d\\u0061ta":1}', '1'],
    ['the last of two', '{"data":1,"data":2}', '2'],
    ['white space around', ' \r\n{"data":null}\n', 'null'],
  ])('keeps %s', (_name, text, data) => {
    expect(topLevelValues(text).get('data')).toBe(data);
    expect(topLevelValuesOfEach(`[${text}, ${text}]`).map((values) => values.get('data'))).toEqual([
      data,
      data,
    ]);
  });

  it('has no members if the text is not an object', () => {
    for (const text of ['1', '"data"', '[]', ' null ', '{}', '[{"data":1}]'])
      expect([...topLevelValues(text)]).toEqual([]);
    expect(topLevelValuesOfEach(' [ ] ')).toEqual([]);
    expect(topLevelValuesOfEach('[1, [{"data":2}],"x" ,{"data":3}]').map((each) => each.get('data'))).toEqual(
      [undefined, undefined, undefined, '3'],
    );
  });

  it('agrees with JSON.parse about every object in any spelling', () => {
    fc.assert(
      fc.property(object, fc.constantFrom(undefined, 1, '\t', '\n '), (value, indent) => {
        const text = JSON.stringify(value, undefined, indent);
        const read = Object.fromEntries(
          [...topLevelValues(text)].map(([key, each]) => [key, JSON.parse(each)]),
        );
        expect(read).toEqual(JSON.parse(text));
      }),
    );
  });

  it('agrees with JSON.parse about every array of objects', () => {
    fc.assert(
      fc.property(fc.array(object), fc.constantFrom(undefined, 2), (value, indent) => {
        const read = topLevelValuesOfEach(JSON.stringify(value, undefined, indent));
        expect(read.map(({ size }) => size)).toEqual(value.map((each) => Object.keys(each).length));
      }),
    );
  });

  it('detects nesting that is too deep, and ignores strings', () => {
    const nested = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`;
    expect(isTooDeep(nested(MAX_JSON_DEPTH))).toBe(false);
    expect(isTooDeep(nested(MAX_JSON_DEPTH + 1))).toBe(true);
    expect(isTooDeep(JSON.stringify(['['.repeat(1000), '\\', '"'.repeat(1000)]))).toBe(false);
    expect(isTooDeep('['.repeat(100_000))).toBe(true);
    expect(isTooDeep(`"${'['.repeat(1000)}`)).toBe(false);
  });
});
