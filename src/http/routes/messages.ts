import { z } from '@hono/zod-openapi';
import {
  MAX_MESSAGES,
  type PushFault,
  PushMessage,
  parseBatch,
  parsePush,
} from '../../cluster/push-request.ts';
import { ok } from '../../lib/result.ts';
import { DELIVERY_STATUSES, DROP_REASONS } from '../../protocol/delivery.ts';
import type { Language } from '../../protocol/error-codes.ts';
import { fieldDetail, readJsonText } from '../body.ts';
import { type Outcome, refused } from '../outcome.ts';
import { addRoute, type Call, type RouteTable } from '../route.ts';
import { UserIdOut } from '../schemas.ts';

/** A copy, since only schemas made by this module can be named in the description of the interface. */
const Message = PushMessage.clone().openapi('Message');

const Status = z.enum(DELIVERY_STATUSES);

const Report = z
  .object({
    results: z
      .array(
        z.object({
          userId: UserIdOut,
          status: Status,
          connections: z.int(),
          reason: z.enum([...DROP_REASONS, 'no-connection']).optional(),
        }),
      )
      .optional()
      .openapi({ description: 'Absent for a message to all.' }),
    counts: z.partialRecord(Status, z.int()),
  })
  .openapi('Report');

export function addMessagesRoute(table: RouteTable): void {
  addRoute(table, {
    method: 'post',
    path: '/api/messages',
    access: 'service',
    tag: 'Messages',
    summary: 'Pushes a message to users, or a batch of messages',
    description: [
      `An array is a batch of at most ${MAX_MESSAGES}, answered by an array; one wrong message refuses the batch.`,
      'A user who is named more than once gets one message and one result.',
      '`acked`: the client said so. `written`: handed to the socket. `queued`: behind a slow socket. `dropped`: see',
      'the reason. `offline`: not delivered; `no-connection` where the user is online without a socket. `unknown`:',
      'another node did not answer in time.',
    ].join(' '),
    body: z.union([Message, z.array(Message).max(MAX_MESSAGES)]),
    answer: z.union([Report, z.array(Report)]),
    errors: ['invalid-user-id'],
    handle: push,
  });
}

async function push(call: Call): Promise<Outcome> {
  const body = await readJsonText(call.context.req.raw, call.deps.config.maxBodyBytes);
  if (!body.ok) return body;
  if (body.value === undefined) return refused('invalid-json');
  const { router } = call.deps;
  const { text, value } = body.value;
  if (!Array.isArray(value)) {
    const request = parsePush(body.value);
    if (!request.ok) return pushRefused(request.error, call.language);
    return ok(call.context.json(await router.push(request.value)));
  }
  const batch = parseBatch({ text, value });
  if (!batch.ok) return pushRefused(batch.error, call.language);
  // In one turn and in order, so that a user gets the messages of a batch in its order.
  const reports = await Promise.all(batch.value.map((request) => router.push(request)));
  return ok(call.context.json(reports));
}

const NOTES: Readonly<Record<PushFault['kind'], Readonly<Record<Language, string>>>> = {
  invalid: { en: '', zh: '' },
  'invalid-user-id': { en: '', zh: '' },
  unknown: { en: ' (not supported)', zh: '（不支持）' },
  'too-many': { en: ' (too many)', zh: '（数量过多）' },
  reserved: { en: ' (used by the protocol itself)', zh: '（协议自用）' },
};

function pushRefused(fault: PushFault, language: Language): Outcome {
  const code = fault.kind === 'invalid-user-id' ? 'invalid-user-id' : 'invalid-body';
  return refused(code, `${fieldDetail(fault.field, language)}${NOTES[fault.kind][language]}`);
}
