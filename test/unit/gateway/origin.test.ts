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

  test.each([
    ['https://game.example', 'game.example:443'],
    ['https://game.example', 'game.example:80'],
    ['http://game.example', 'game.example:80'],
    ['https://game.example:443', 'game.example'],
    ['https://[::1]', '[::1]:443'],
    ['https://[0:0:0:0:0:0:0:1]:8443', '[::1]:8443'],
    ['https://game.example', 'game.example.'],
    ['https://game.example.', 'game.example:443'],
    ['https://GAME.example:8443', 'game.example.:8443'],
  ])('same-origin accepts %s for Host %s', (origin, host) => {
    expect(createOriginCheck('same-origin')(origin, host)).toBe(true);
  });

  test.each([
    ['https://game.example', 'game.example:8443'],
    ['https://game.example:8080', 'game.example:80'],
    ['https://game.example', 'game.example..'],
    ['https://game.example', 'evil.example@game.example'],
    ['https://game.example', 'game.example/x'],
    ['https://game.example\\evil.example', 'game.example'],
    ['https://game.example', 'game.example, evil.example'],
    ['https://game.example:99999', 'game.example:99999'],
    ['https://[::1', '[::1'],
    ['https://.', '.'],
  ])('same-origin refuses %s for Host %s', (origin, host) => {
    expect(createOriginCheck('same-origin')(origin, host)).toBe(false);
  });

  test('null passes only if every origin passes', () => {
    expect(createOriginCheck('any')('null', undefined)).toBe(true);
  });
});
