import { expect, test } from 'vitest';
import { preferredLanguage } from '../../../src/gateway/language.ts';

test.each([
  [undefined, 'en', 'en'],
  [undefined, 'zh', 'zh'],
  ['zh-CN,zh;q=0.9,en;q=0.8', 'en', 'zh'],
  ['en-US,en;q=0.9,zh;q=0.8', 'zh', 'en'],
  ['en;q=0.5, zh;q=0.6', 'en', 'zh'],
  ['fr, de;q=0.9', 'zh', 'zh'],
  ['fr, zh;q=0.1', 'en', 'zh'],
  ['zh;q=0', 'en', 'en'],
  ['*', 'zh', 'zh'],
  ['zh;q=nonsense', 'en', 'en'],
] as const)('Accept-Language %j with the default %s is answered in %s', (header, fallback, expected) => {
  expect(preferredLanguage(header, fallback)).toBe(expected);
});
