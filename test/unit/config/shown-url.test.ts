import { describe, expect, it } from 'vitest';
import { maskedAddress, placeOf } from '../../../src/config/shown-url.ts';

describe('an address that is shown', () => {
  it('keeps the place, and neither user nor password', () => {
    expect(maskedAddress('postgres://u:secret@host:5432/game?sslmode=require')).toBe(
      'postgres://********@host:5432/game',
    );
    expect(placeOf('redis://:secret@host:6379/2')).toBe('redis://host:6379/2');
  });

  it('keeps no path of a web address', () => {
    const address = 'https://issuer:secret@keys.example:8443/tenants/0f3a/jwks?token=1';
    expect(maskedAddress(address)).toBe('https://********@keys.example:8443');
    expect(placeOf(address)).toBe('https://keys.example:8443');
    expect(placeOf('HTTP://keys.example/a')).toBe('HTTP://keys.example');
  });

  it.each(['postgres://u:12#rest@host/game', 'redis://default:12?rest@host', 'postgres://u:12/34#5@host'])(
    'is masked completely if a password cuts it short: %s',
    (text) => {
      expect([maskedAddress(text), placeOf(text)]).toEqual(['********', '********']);
    },
  );
});
