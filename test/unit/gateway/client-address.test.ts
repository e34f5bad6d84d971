import { describe, expect, test } from 'vitest';
import { createClientAddress } from '../../../src/gateway/client-address.ts';

describe('client address', () => {
  test('X-Forwarded-For is ignored without trusted proxies', () => {
    const address = createClientAddress([]);
    expect(address('203.0.113.5', '10.0.0.1')).toBe('203.0.113.5');
    expect(address('::ffff:203.0.113.5', undefined)).toBe('203.0.113.5');
  });

  test.each([
    ['203.0.113.5', '1.2.3.4', '203.0.113.5', 'an untrusted peer'],
    ['10.0.0.1', undefined, '10.0.0.1', 'no header'],
    ['10.0.0.1', '1.2.3.4', '1.2.3.4', 'one hop'],
    ['10.0.0.1', '6.6.6.6, 1.2.3.4', '1.2.3.4', 'a forged hop on the left'],
    ['10.0.0.1', '6.6.6.6, 1.2.3.4, 10.9.9.9', '1.2.3.4', 'two trusted proxies'],
    ['10.0.0.1', '10.1.1.1, 10.2.2.2', '10.1.1.1', 'nothing but proxies'],
    ['10.0.0.1', '1.2.3.4, nonsense', '10.0.0.1', 'a malformed hop'],
    ['10.0.0.1', '1.2.3.4, 10.5.5.5, ', '10.0.0.1', 'an empty hop'],
    ['::ffff:10.0.0.1', '1.2.3.4:5678', '1.2.3.4', 'a mapped peer and a port'],
    ['2001:db8::1', '[2001:db9::7]:443', '2001:db9::7', 'IPv6 in brackets'],
    ['10.0.0.1', '0x01020304', '10.0.0.1', 'an address in hexadecimal'],
  ])('%s with %j is %s: %s', (peer, forwarded, expected, _why) => {
    expect(createClientAddress(['10.0.0.0/8', '2001:db8::/32'])(peer, forwarded)).toBe(expected);
  });

  test('an untrusted header is reported, a missing or trusted one is not', () => {
    const ignored: string[] = [];
    const address = createClientAddress(['10.0.0.0/8'], (peer) => void ignored.push(peer));
    address('10.0.0.1', '1.2.3.4');
    address('203.0.113.5', undefined);
    expect(ignored).toEqual([]);
    expect(address('::ffff:203.0.113.5', '1.2.3.4')).toBe('203.0.113.5');
    expect(ignored).toEqual(['203.0.113.5']);
  });

  test.each([
    ['127.0.0.9', '1.2.3.4'],
    ['::ffff:127.0.0.9', '1.2.3.4'],
    ['127.0.1.1', '127.0.1.1'],
  ])('a network of IPv4 addresses in IPv6 form is that network: %s', (peer, expected) => {
    expect(createClientAddress(['::ffff:127.0.0.0/120'])(peer, '1.2.3.4')).toBe(expected);
  });

  test('a single address may be trusted, and a bad entry is named', () => {
    expect(createClientAddress(['127.0.0.1'])('127.0.0.1', '1.2.3.4')).toBe('1.2.3.4');
    expect(createClientAddress(['::ffff:127.0.0.1'])('127.0.0.1', '1.2.3.4')).toBe('1.2.3.4');
    expect(() => createClientAddress(['10.0.0.0/40'])).toThrow(/LINGXI_TRUSTED_PROXIES.*10\.0\.0\.0\/40/);
  });
});
