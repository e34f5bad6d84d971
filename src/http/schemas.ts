import { z } from '@hono/zod-openapi';
import { parseUserId } from '../protocol/user-id.ts';

/** Valid characters of an address or a cursor from a client: visible ASCII, no line end. */
const VISIBLE_ASCII = /^[\x21-\x7e]*$/;
const MAX_ADDRESS_LENGTH = 64;

const userIdDescription = {
  description: 'Unsigned integer below 2^53, as an integer or as a string of digits without leading zero.',
  example: '42',
} as const;

/** A user id in a request. */
export const UserIdIn = z
  .custom<string | number>((value) => parseUserId(value) !== undefined, {
    params: { code: 'invalid-user-id' },
  })
  .transform((value) => Number(value))
  .openapi({ type: ['string', 'integer'], ...userIdDescription });

/** A user id inside a path. */
export const UserIdParam = z.string().openapi({ pattern: '^(0|[1-9][0-9]*)$', ...userIdDescription });

/** A `playerId` in an answer. */
export const PlayerIdOut = z.string().openapi({ description: 'User id.', example: '42' });

/** A user id in the answers of endpoints that the Go server does not have. */
export const UserIdOut = z.int().openapi({ description: 'User id.', example: 42 });

export const TimeMs = z
  .int()
  .openapi({ description: 'Milliseconds since 1970.', example: 1_767_225_600_000 });

export const Sentence = z
  .string()
  .openapi({ description: 'A sentence for people, Chinese or English by Accept-Language.' });

/** An address that a trusted caller gives for its user. Empty: the address of the peer. */
export const AddressIn = z.string().max(MAX_ADDRESS_LENGTH).regex(VISIBLE_ASCII).nullish().openapi({
  description:
    "Counts from the service key, or where the open API is on; otherwise, or empty: the peer's address.",
});

/** An epoch: an integer, or the same as a decimal string. */
export const EpochIn = z
  .custom<string | number>((value) => parseUserId(value) !== undefined)
  .transform((value) => Number(value))
  .openapi({ type: ['string', 'integer'], description: 'Epoch of a connection.', example: '1767225600000' });

/** Longest time for which one call may block a user: 30 days. */
const MAX_BLOCK_MS = 2_592_000_000;

export const BlockMsIn = z.int().min(0).max(MAX_BLOCK_MS).optional().openapi({
  description: 'Refuse logins of the user for this long, 30 days at most; 0 lifts a block.',
});

export const BlockedUntil = TimeMs.optional();

export const ErrorSchema = z
  .object({
    error: Sentence,
    code: z.string().openapi({ description: 'Stable code.', example: 'invalid-body' }),
  })
  .openapi('Error');

/** A number in a query. The error names the range, as the errors of the configuration do. */
export function countIn(minimum: number, maximum: number, description: string): z.ZodOptional<z.ZodString> {
  const isCount = (text: string): boolean =>
    /^(?:0|[1-9]\d{0,14})$/.test(text) && Number(text) >= minimum && Number(text) <= maximum;
  return z
    .string()
    .refine(isCount, { params: { minimum, maximum } })
    .optional()
    .openapi({ pattern: '^(0|[1-9][0-9]*)$', description });
}
