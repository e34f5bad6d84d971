import { z } from '@hono/zod-openapi';
import { USER_SORTS, USER_STATES } from '../../overview/api.ts';
import { BlockedUntil, countIn, TimeMs, UserIdOut } from '../schemas.ts';
import { PlayerAnswer } from './online.schemas.ts';

const MAX_SEARCH = 200;
const MAX_OFFSET = 1_000_000;
const MAX_WINDOW = 200;
export const DEFAULT_WINDOW = 50;

export const UsersQuerySchema = z.object({
  search: z.string().max(MAX_SEARCH).optional().openapi({
    description:
      'Words that must all match: digits the beginning of the id; `node:`, `ip:`, `state:` what they name; else a part of the name.',
  }),
  sort: z.enum(USER_SORTS).optional().openapi({ description: 'Default `since`.' }),
  order: z.enum(['asc', 'desc']).optional().openapi({ description: 'Default `desc`.' }),
  offset: countIn(0, MAX_OFFSET, `0 to ${MAX_OFFSET}, default 0.`),
  limit: countIn(1, MAX_WINDOW, `1 to ${MAX_WINDOW}, default ${DEFAULT_WINDOW}.`),
});

export const UsersAnswer = z.object({
  at: TimeMs,
  total: z.int().openapi({ description: 'Users online that this node knows of.' }),
  matched: z.int(),
  offset: z.int(),
  users: z.array(
    z.object({
      userId: UserIdOut,
      username: z.string().openapi({ description: 'Empty: no login named the user.' }),
      state: z.enum(USER_STATES),
      node: z.string(),
      nodes: z.array(z.string()),
      since: TimeMs,
      lastHeartbeat: TimeMs,
      ip: z.string(),
      connections: z.int(),
    }),
  ),
  partial: z.string().optional().openapi({ description: 'A sentence: what the table may lack, and why.' }),
});

export const ConnectionOut = z.object({
  connectionId: z.string(),
  node: z.string(),
  since: TimeMs,
  epoch: z.string().openapi({ description: 'Decimal string.' }),
  address: z.string(),
  protocol: z.enum(['seed', 'lingxi.v1']),
  state: z.enum(['active', 'background']),
  queue: z.int().openapi({ description: 'Messages behind the socket.' }),
  queueBytes: z.int(),
});

export const PartialNodes = z.array(z.string()).optional().openapi({
  description:
    'Nodes that did not answer in time, if any; empty: the store did not say which nodes there are.',
});

export const UserAnswer = z.object({
  player: PlayerAnswer.nullable().openapi({ description: 'null: nothing is known of the user.' }),
  connections: z.array(ConnectionOut),
  groups: z.array(z.string()).openapi({ description: 'While the user is online.' }),
  state: z.enum(USER_STATES).optional().openapi({
    description: 'As in the list of users. Absent where no node that answered holds the user.',
  }),
  blockedUntil: BlockedUntil,
  partial: PartialNodes,
});

export const ConfigAnswer = z.object({
  access: z.enum(['service', 'view']).openapi({ description: 'What the key of this request may do.' }),
  keys: z.array(
    z.object({
      name: z.string(),
      value: z.string().openapi({ description: 'Never a secret, nor a part of one.' }),
      isDefault: z.boolean(),
      source: z.enum(['default', 'environment', '.env', 'file', 'profile', 'program']),
      meaning: z.string(),
      section: z.string(),
      secret: z.boolean(),
    }),
  ),
});
