import { ok, type Result } from '../lib/result.ts';
import type { PushRequest } from '../protocol/delivery.ts';
import { PROTOCOL_TYPES } from '../protocol/frames.ts';
import { topLevelValues, topLevelValuesOfEach, type ValueTexts } from '../protocol/json-spans.ts';
import { isTooDeep } from '../protocol/json-text.ts';
import { parseUserId } from '../protocol/user-id.ts';

/** Most messages in one batch. */
export const MAX_BATCH = 1_000;
/** Most users that one message may name. */
export const MAX_RECEIVERS = 10_000;
export const MAX_TYPE_LENGTH = 128;
export const MAX_ACK_TIMEOUT_MS = 10_000;

/** Which field of a message is wrong; `unknown`: there is no such field; `reserved`: the protocol's own type. */
export interface PushFault {
  readonly field: string;
  readonly kind: 'invalid' | 'invalid-user-id' | 'unknown' | 'too-many' | 'reserved';
}

type Parsed<Value> = Result<Value, PushFault>;

/** Longest unknown field name that is repeated to the caller. */
const MAX_ECHOED_NAME = 32;

const FIELDS: ReadonlySet<string> = new Set(['to', 'type', 'data', 'ack', 'timeoutMs']);

/** Input that is JSON: its text, and what `JSON.parse` made of it. */
export interface JsonInput {
  readonly text: string;
  readonly value: unknown;
}

/** Reads one message from text that nobody has looked at; what is not JSON has the wrong shape. */
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

export function parsePush({ text, value }: JsonInput): Parsed<PushRequest> {
  return parseMessage(value, topLevelValues(text));
}

/** Reads a batch; the field of a fault carries the message's index. */
export function parseBatch(input: {
  readonly text: string;
  readonly value: readonly unknown[];
}): Parsed<readonly PushRequest[]> {
  if (input.value.length > MAX_BATCH) return fault('(batch)', 'too-many');
  const texts = topLevelValuesOfEach(input.text);
  const requests: PushRequest[] = [];
  for (const [index, item] of input.value.entries()) {
    const parsed = parseMessage(item, texts[index]);
    if (!parsed.ok) return fault(`[${index}].${parsed.error.field}`, parsed.error.kind);
    requests.push(parsed.value);
  }
  return ok(requests);
}

/** By hand: this is the one body that arrives tens of thousands of times a second. */
function parseMessage(input: unknown, texts: ValueTexts | undefined): Parsed<PushRequest> {
  if (!isObject(input)) return fault('(message)');
  for (const name of Object.keys(input)) if (!FIELDS.has(name)) return fault(shown(name), 'unknown');
  const to = parseTo(input['to']);
  if (!to.ok) return to;
  const { type, ack, timeoutMs } = input;
  if (typeof type !== 'string' || type === '' || type.length > MAX_TYPE_LENGTH) return fault('type');
  if (PROTOCOL_TYPES.has(type)) return fault('type', 'reserved');
  if (ack !== undefined && typeof ack !== 'boolean') return fault('ack');
  if (timeoutMs !== undefined && !isTimeout(timeoutMs)) return fault('timeoutMs');
  return ok({
    to: to.value,
    type,
    dataText: texts?.get('data') ?? 'null',
    ...(ack === undefined ? {} : { ack }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  });
}

function parseTo(input: unknown): Parsed<PushRequest['to']> {
  if (!isObject(input)) return fault('to');
  const names = Object.keys(input);
  const name = names[0];
  if (names.length !== 1 || name === undefined) return fault('to');
  switch (name) {
    case 'userId': {
      const userId = parseUserId(input[name]);
      return userId === undefined ? fault('to.userId', 'invalid-user-id') : ok({ userId });
    }
    case 'userIds':
      return parseReceivers(input[name]);
    case 'all':
      return input[name] === true ? ok({ all: true }) : fault('to.all');
    default:
      return fault(`to.${shown(name)}`, 'unknown');
  }
}

function parseReceivers(input: unknown): Parsed<PushRequest['to']> {
  if (!Array.isArray(input)) return fault('to.userIds');
  if (input.length > MAX_RECEIVERS) return fault('to.userIds', 'too-many');
  const userIds: number[] = [];
  for (const [index, item] of input.entries()) {
    const userId = parseUserId(item);
    if (userId === undefined) return fault(`to.userIds[${index}]`, 'invalid-user-id');
    userIds.push(userId);
  }
  return ok({ userIds });
}

function isTimeout(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= MAX_ACK_TIMEOUT_MS;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A client's own field name, safe to repeat. */
function shown(name: string): string {
  return name.slice(0, MAX_ECHOED_NAME).replaceAll(/[^\w.$-]/g, '?');
}

function fault(field: string, kind: PushFault['kind'] = 'invalid'): { ok: false; error: PushFault } {
  return { ok: false, error: { field, kind } };
}
