import { expect } from 'vitest';
import type { Gateway } from './gateway-process.ts';

/** An entry of `GET /api/nodes`. */
export interface NodeEntry {
  readonly node: string;
  readonly name: string;
  readonly incarnation: string;
  readonly state: string;
  readonly leaseAgeMs: number | null;
  readonly users: number;
  readonly connections: number | null;
  readonly draining: boolean;
}

export async function nodesOf(gateway: Gateway): Promise<readonly NodeEntry[]> {
  const answer = await gateway.service('GET', '/api/nodes');
  expect(answer.status).toBe(200);
  return answer.body['nodes'] as readonly NodeEntry[];
}

/** The only node with this name. */
export async function entryOf(gateway: Gateway, name: string): Promise<NodeEntry> {
  const [entry, ...others] = (await nodesOf(gateway)).filter((node) => node.name === name);
  if (entry === undefined || others.length > 0)
    throw new Error(`${others.length} further nodes named ${name}`);
  return entry;
}
