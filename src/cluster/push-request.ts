import { z } from 'zod';
import { err, ok, type Result } from '../lib/result.ts';
import { PRIORITIES, type PushRequest } from '../protocol/delivery.ts';
import { PROTOCOL_TYPES } from '../protocol/frames.ts';
import { GROUP_NAME_PATTERN, GROUP_NAME_RULE } from '../protocol/groups.ts';
import { topLevelValues, topLevelValuesOfEach, type ValueTexts } from '../protocol/json-spans.ts';
import { isJsonObject, isTooDeep } from '../protocol/json-text.ts';
import { parseUserId } from '../protocol/user-id.ts';

/** Most messages in one batch. */
export const MAX_MESSAGES = 1_000;
/** Most users that one message may name. */
export const MAX_RECEIVERS = 10_000;
/** Most groups that one message may name. */
export const MAX_GROUPS = 20;
export const MAX_TYPE_LENGTH = 128;
/** How long a sender may wait for acknowledgements, in ms. */
export const MAX_ACK_TIMEOUT_MS = 10_000;
/** Longest life of a message that asks for a limited one, in ms: a day. */
export const MAX_TTL_MS = 86_400_000;
/** A key of a message: 1 to 64 characters, none of them a control character or half of a surrogate pair. */
export const KEY = /^[^\p{Cc}\p{Cs}]{1,64}$/u;

const Key = z.string().regex(KEY);

/** A user id as it comes in: a number, or a string of digits. */
const UserId = z
  .custom<string | number>((value) => parseUserId(value) !== undefined)
  .transform(Number)
  .meta({
    type: ['string', 'integer'],
    description: 'Unsigned integer below 2^53, as an integer or as a string of digits without leading zero.',
    example: '42',
  });

const GroupName = z
  .string()
  .regex(new RegExp(GROUP_NAME_PATTERN))
  .meta({ description: GROUP_NAME_RULE.en, example: 'guild:7' });

/** The kinds of receivers, by the one key that each has. Only `groups` may have `except` beside it. */
const RECEIVERS = {
  userId: z.strictObject({ userId: UserId }),
  userIds: z.strictObject({ userIds: z.array(UserId).max(MAX_RECEIVERS) }),
  groups: z.strictObject({
    groups: z.array(GroupName).max(MAX_GROUPS),
    except: z.array(UserId).max(MAX_RECEIVERS).optional(),
  }),
  all: z.strictObject({ all: z.literal(true) }),
};

/**
 * A push as the service or another program writes it. This is its one definition: it validates every message, from HTTP
 * and from the push channel, and HTTP shows it in the description of its interface.
 */
export const PushMessage = z.strictObject({
  to: z.union([RECEIVERS.userId, RECEIVERS.userIds, RECEIVERS.groups, RECEIVERS.all]),
  type: z
    .string()
    .min(1)
    .max(MAX_TYPE_LENGTH)
    .refine((type) => !PROTOCOL_TYPES.has(type))
    .meta({ description: `Not one that the protocol uses itself: ${[...PROTOCOL_TYPES].join(', ')}.` }),
  data: z.unknown().optional().meta({ description: 'Any JSON, passed on byte for byte; absent: null.' }),
  ack: z.boolean().optional().meta({ description: 'Ask `lingxi.v1` clients to acknowledge.' }),
  timeoutMs: z
    .int()
    .min(1)
    .max(MAX_ACK_TIMEOUT_MS)
    .optional()
    .meta({ description: 'How long to wait for the acknowledgement; 5000 where absent.' }),
  key: Key.optional().meta({
    description:
      'Under LINGXI_OVERFLOW=conflate the message replaces one with the same key in the queue of a slow socket.',
  }),
  priority: z
    .enum(PRIORITIES)
    .optional()
    .meta({ description: 'Order in the queue behind a slow socket; `normal` where absent.' }),
  ttlMs: z.int().min(1).max(MAX_TTL_MS).optional().meta({
    description: 'A message that no socket took within so many ms is `dropped` with the reason `ttl`.',
  }),
  idempotencyKey: Key.optional().meta({
    description:
      'The same message with the same key delivers nothing again for 5 minutes and gets the first answer.',
  }),
});

/**
 * Which field of a message is wrong. `unknown`: there is no such field; `invalid-group`: no name of a group; `reserved`: the
 * protocol's own type.
 */
export interface PushFault {
  readonly field: string;
  readonly kind: 'invalid' | 'invalid-user-id' | 'invalid-group' | 'unknown' | 'too-many' | 'reserved';
}

type Parsed<Value> = Result<Value, PushFault>;

/** Longest unknown field name that is repeated to the caller. */
const MAX_ECHOED_NAME = 32;

/** Input that is JSON: its text, and what `JSON.parse` made of it. */
export interface JsonInput {
  readonly text: string;
  readonly value: unknown;
}

/** Parses and validates one message. Text that is not JSON has the wrong shape. */
export function parsePushText(text: string): Parsed<PushRequest> {
  if (isTooDeep(text)) return fault('(message)');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return fault('(message)');
  }
  return parsePush({ text, value });
}

/** The same for a message whose sender gets no answer. An idempotency key promises an answer, so it is refused here. */
export function parseUnansweredPush(text: string): Parsed<PushRequest> {
  const parsed = parsePushText(text);
  return parsed.ok && parsed.value.idempotencyKey !== undefined ? fault('idempotencyKey') : parsed;
}

export function parsePush({ text, value }: JsonInput): Parsed<PushRequest> {
  return parseMessage(value, topLevelValues(text));
}

/** Parses and validates a batch. The field of a fault names the message's index. */
export function parseBatch(input: {
  readonly text: string;
  readonly value: readonly unknown[];
}): Parsed<readonly PushRequest[]> {
  if (input.value.length > MAX_MESSAGES) return fault('(batch)', 'too-many');
  const texts = topLevelValuesOfEach(input.text);
  const requests: PushRequest[] = [];
  for (const [index, item] of input.value.entries()) {
    const parsed = parseMessage(item, texts[index]);
    if (!parsed.ok) return fault(`[${index}].${parsed.error.field}`, parsed.error.kind);
    requests.push(parsed.value);
  }
  return ok(requests);
}

/** Takes `data` from the text, not from the parsed value, so that it is passed on exactly as written. */
function parseMessage(input: unknown, texts: ValueTexts | undefined): Parsed<PushRequest> {
  const parsed = PushMessage.safeParse(input);
  if (!parsed.success) return err(faultOf(input, parsed.error.issues));
  const { data: _, ...message } = parsed.data;
  // JSON knows no undefined: a member that is absent is absent here too.
  return ok({ ...message, dataText: texts?.get('data') ?? 'null' } as PushRequest);
}

/** Of several faults, reports an unknown field first, then the first field in the order of the schema. */
function faultOf(input: unknown, issues: readonly z.core.$ZodIssue[]): PushFault {
  if (!isJsonObject(input)) return { field: '(message)', kind: 'invalid' };
  const unknown = Object.keys(input).find((name) => !Object.hasOwn(PushMessage.shape, name));
  if (unknown !== undefined) return { field: shown(unknown), kind: 'unknown' };
  const [issue] = issues;
  const [field] = issue?.path ?? [];
  switch (field) {
    case 'to':
      return receiversFault(input['to']);
    case 'type':
      return { field, kind: issue?.code === 'custom' ? 'reserved' : 'invalid' };
    default:
      return { field: String(field), kind: 'invalid' };
  }
}

function receiversFault(to: unknown): PushFault {
  const given = isJsonObject(to) ? Object.keys(to) : [];
  // `groups` may have `except` beside it.
  const names = given.includes('groups') ? given.filter((name) => name !== 'except') : given;
  const [name] = names;
  if (name === undefined || names.length !== 1) return { field: 'to', kind: 'invalid' };
  if (!isReceiver(name)) return { field: `to.${shown(name)}`, kind: 'unknown' };
  const issues = RECEIVERS[name].safeParse(to).error?.issues ?? [];
  const issue = issues.find(({ code }) => code === 'too_big') ?? issues[0];
  const [part = name, index] = issue?.path ?? [];
  const field = `to.${String(part)}${index === undefined ? '' : `[${String(index)}]`}`;
  if (issue?.code === 'too_big') return { field, kind: 'too-many' };
  if (part === 'groups' && index !== undefined) return { field, kind: 'invalid-group' };
  return { field, kind: issue?.code === 'custom' ? 'invalid-user-id' : 'invalid' };
}

function isReceiver(name: string): name is keyof typeof RECEIVERS {
  return Object.hasOwn(RECEIVERS, name);
}

/** A client's own field name, safe to repeat. */
function shown(name: string): string {
  return name.slice(0, MAX_ECHOED_NAME).replaceAll(/[^\w.$-]/g, '?');
}

function fault(field: string, kind: PushFault['kind'] = 'invalid'): { ok: false; error: PushFault } {
  return { ok: false, error: { field, kind } };
}
