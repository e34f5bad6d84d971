import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { REPOSITORY } from '../support/cache.ts';
import type { Dashboard } from './dashboard-pages.ts';

const AXE = readFileSync(join(REPOSITORY, 'node_modules/axe-core/axe.min.js'), 'utf8');

/** Number of pixels by which the page is wider than its window. */
export function widthBeyond({ page }: Dashboard): Promise<number> {
  return page.evaluate(() => {
    const { documentElement } = (globalThis as unknown as { document: { documentElement: Sizes } }).document;
    return documentElement.scrollWidth - documentElement.clientWidth;
  });
}

interface Sizes {
  readonly scrollWidth: number;
  readonly clientWidth: number;
}

/** `place` says in a failure which part of the page it was. */
export async function expectAccessible({ page }: Pick<Dashboard, 'page'>, place: string): Promise<void> {
  // By the protocol, because the policy of the page allows no foreign script. It stays until the page loads again.
  if (!(await page.evaluate(() => 'axe' in globalThis))) await page.evaluate(AXE);
  const violations = await page.evaluate(async () => {
    const { axe } = globalThis as unknown as {
      axe: { run(options: object): Promise<{ violations: Violation[] }> };
    };
    const found = await axe.run({ resultTypes: ['violations'] });
    return found.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
  });
  expect(violations, place).toEqual([]);
}

interface Violation {
  readonly id: string;
  readonly nodes: readonly { readonly html: string }[];
}
