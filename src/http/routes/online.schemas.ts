import { z } from '@hono/zod-openapi';
import { parseUserId } from '../../protocol/user-id.ts';
import {
  AddressIn,
  BlockedUntil,
  BlockMsIn,
  countIn,
  EpochIn,
  PlayerIdOut,
  Sentence,
  TimeMs,
  UserIdIn,
  UserIdOut,
} from '../schemas.ts';

/** Largest number of users in one status request. */
export const MAX_STATUS_IDS = 1_000;
/** Largest number of players on one page. */
export const MAX_PAGE = 1_000;

export const LoginBody = z.object({ playerId: UserIdIn, ip: AddressIn }).openapi('Login');
export const HeartbeatBody = z.object({ playerId: UserIdIn }).openapi('Heartbeat');
export const LogoutBody = z
  .object({ playerId: UserIdIn, epoch: EpochIn.nullish(), blockMs: BlockMsIn })
  .openapi('Logout');
export const StatusBody = z
  .strictObject({ userIds: z.array(UserIdIn).max(MAX_STATUS_IDS) })
  .openapi('StatusQuery');

export const PlayersQuery = z.object({
  limit: countIn(1, MAX_PAGE, `Players a page, 1 to ${MAX_PAGE}; without it all are answered.`),
  cursor: z
    .string()
    // The cursor is the last user of a page. The next page begins after that user.
    .refine((text) => parseUserId(text) !== undefined)
    .optional()
    .openapi({ description: 'The `cursor` of the page before.' }),
});

export const LoginAnswer = z.object({ message: Sentence, playerId: PlayerIdOut, loginTime: TimeMs });
export const HeartbeatAnswer = z.object({ message: Sentence, playerId: PlayerIdOut, lastHeartbeat: TimeMs });
export const LogoutAnswer = z.object({
  message: Sentence,
  playerId: PlayerIdOut,
  logoutTime: TimeMs.optional().openapi({ description: 'Absent where only a block was set or lifted.' }),
  blockedUntil: BlockedUntil,
});

export const PlayersAnswer = z.object({
  players: z.array(
    z.object({
      playerId: PlayerIdOut,
      loginTime: TimeMs.optional(),
      lastHeartbeat: TimeMs.optional(),
      ip: z.string(),
    }),
  ),
  cursor: z.string().optional().openapi({ description: 'Present where another page follows.' }),
});

const Status = z.enum(['online', 'offline']);

export const PlayerAnswer = z.object({
  playerId: PlayerIdOut,
  username: z.string(),
  status: Status,
  loginTime: TimeMs.optional(),
  lastHeartbeat: TimeMs.optional(),
  logoutTime: TimeMs.optional(),
  ip: z.string(),
  connections: z.int().openapi({ description: 'Sockets in the whole deployment.' }),
});

export const StatusAnswer = z.object({
  results: z.array(
    z.object({
      userId: UserIdOut,
      status: Status,
      loginTime: TimeMs.optional(),
      lastHeartbeat: TimeMs.optional(),
      logoutTime: TimeMs.optional(),
    }),
  ),
});
