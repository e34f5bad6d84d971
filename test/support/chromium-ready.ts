import { findChromium } from './chromium-binary.ts';

/** Vitest's global setup: a fetch may take minutes, and no test should wait for it. */
export async function setup(): Promise<void> {
  // The tests that need it fail with the reason; an error here would stop all other tests too.
  await findChromium().catch(() => undefined);
}
