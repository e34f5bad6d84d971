import { describe, expect, it } from 'vitest';
import { countedAddress } from '../../../src/lib/counted-address.ts';

describe('counted addresses', () => {
  it.each([
    ['203.0.113.5', '203.0.113.5'],
    ['::ffff:203.0.113.5', '203.0.113.5'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['2001:0DB8:0000:0000:ffff:ffff:ffff:ffff', '2001:db8:0:0::/64'],
    ['2001:db8:0:1::1', '2001:db8:0:1::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['no:address', 'no:address'],
    ['', ''],
  ])('%s counts as %s', (address, expected) => {
    expect(countedAddress(address)).toBe(expected);
  });
});
