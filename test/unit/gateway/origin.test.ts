import { describe, expect, test } from 'vitest';
import { createOriginCheck } from '../../../src/gateway/origin.ts';

describe('origins', () => {
  test.each([
    'null',
    'https://game.example.evil.example',
    'https://evilgame.example',
    'http://game.example',
    'https://game.example:8443',
    'https://game.example/',
    'https://GAME.example',
    '',
    'https://game.example, https://evil.example',
  ])('%j is not in a list with https://game.example', (origin) => {
    expect(createOriginCheck(['https://game.example', 'null'])(origin, 'game.example')).toBe(false);
  });

  test('an exact match and a client without an origin pass', () => {
    const check = createOriginCheck(['https://game.example']);
    expect(check('https://game.example', undefined)).toBe(true);
    expect(check(undefined, undefined)).toBe(true);
  });

  test('same-origin compares host and port', () => {
    const check = createOriginCheck('same-origin');
    expect(check('https://game.example', 'Game.Example')).toBe(true);
    expect(check('http://localhost:3000', 'localhost:3000')).toBe(true);
    expect(check('http://localhost:3001', 'localhost:3000')).toBe(false);
    expect(check('null', 'null')).toBe(false);
    expect(check('https://user@game.example', 'game.example')).toBe(false);
    expect(check('file://game.example', 'game.example')).toBe(false);
    expect(check('https://', '')).toBe(false);
  });

  test('null passes only where any origin does', () => {
    expect(createOriginCheck('any')('null', undefined)).toBe(true);
  });
});
