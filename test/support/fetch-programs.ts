import { findChromium } from './chromium-binary.ts';
import { findFakeTime } from './faketime-binaries.ts';
import { findPgBouncer } from './pgbouncer.ts';
import { findProxy } from './proxies.ts';
import { findRedis } from './redis-binaries.ts';

/**
 * `scripts/test.mjs` runs this beside the unit tests: it fetches the programs that the other tests need and this machine lacks. If
 * one cannot be fetched, the tests that need it fail with the reason.
 */
await Promise.allSettled([findRedis(), findChromium(), findProxy('nginx'), findPgBouncer(), findFakeTime()]);
