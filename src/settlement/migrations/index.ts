import { periodsAndNodes } from './001-periods-and-nodes.ts';
import type { Migration } from './migration.ts';

export const MIGRATIONS: readonly Migration[] = [periodsAndNodes];
