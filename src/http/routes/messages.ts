import { z } from '@hono/zod-openapi';
import {
  MAX_MESSAGES,
  type PushFault,
  PushMessage,
  parseBatch,
  parsePush,
} from '../../cluster/push-request.ts';
import type { PushRefusal } from '../../cluster/router.ts';
import { assert } from '../../lib/assert.ts';
import { ok } from '../../lib/result.ts';
import { DELIVERY_STATUSES, DROP_REASONS } from '../../protocol/delivery.ts';
import { type Bilingual, type Exactness, errorBody } from '../../protocol/error-codes.ts';
import { GROUP_NAME_NOTE } from '../../protocol/groups.ts';
import { fieldDetail, readJsonText } from '../body.ts';
import { type Outcome, refused, refusedExactly } from '../outcome.ts';
import { addRoute, type Call, type RouteTable } from '../route.ts';
import { ErrorSchema, UserIdOut } from '../schemas.ts';

/** A copy: only schemas made by this module can get a name in the description of the interface. */
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
      .openapi({ description: 'Absent for a message to all or to groups.' }),
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
      'A user who is named more than once, or is in several of the groups, gets one message and counts once.',
      'In a batch, a message whose idempotency key is refused has its error in the place of its report.',
      '`acked`: the client program said so. `written`: the socket took the bytes. `queued`: behind a slow socket.',
      '`dropped`: see the reason. `offline`: not delivered; `no-connection` where the user is online without a socket. `unknown`:',
      'another node did not answer in time.',
    ].join(' '),
    body: z.union([Message, z.array(Message).max(MAX_MESSAGES)]),
    answer: z.union([Report, z.array(z.union([Report, ErrorSchema]))]),
    errors: ['invalid-user-id', 'idempotency-key-reused', 'presence-unavailable', 'overloaded'],
    handle: push,
  });
}

async function push(call: Call): Promise<Outcome> {
  const body = await readJsonText(call.context.req.raw, call.deps.config.maxBodyBytes);
  if (!body.ok) return body;
  if (body.value === undefined) return refused('invalid-json');
  const { pushes } = call.deps;
  const { text, value } = body.value;
  if (!Array.isArray(value)) {
    const request = parsePush(body.value);
    if (!request.ok) return pushRefused(request.error);
    const [answer] = await pushes.push([request.value]);
    assert(answer !== undefined, 'a push is answered');
    return answer.ok
      ? ok(call.context.json(answer.value))
      : refusedExactly(answer.error, EXACT[answer.error]);
  }
  const batch = parseBatch({ text, value });
  if (!batch.ok) return pushRefused(batch.error);
  const answers = await pushes.push(batch.value);
  // The result of a failed message is its error. The other messages of the batch were delivered.
  const items = answers.map((answer) =>
    answer.ok ? answer.value : errorBody(answer.error, call.language, EXACT[answer.error]),
  );
  return ok(call.context.json(items));
}

const EXACT: Readonly<Record<PushRefusal, Exactness>> = {
  'idempotency-key-reused': {},
  'presence-unavailable': { sentence: 'keys-unavailable' },
  overloaded: { sentence: 'too-many-keys' },
};

const NOTES: Readonly<Record<PushFault['kind'], Bilingual>> = {
  invalid: { en: '', zh: '' },
  'invalid-group': GROUP_NAME_NOTE,
  'invalid-user-id': { en: '', zh: '' },
  unknown: { en: ' (not supported)', zh: '（不支持）' },
  'too-many': { en: ' (too many)', zh: '（数量过多）' },
  reserved: { en: ' (used by the protocol itself)', zh: '（协议自用）' },
};

function pushRefused(fault: PushFault): Outcome {
  const code = fault.kind === 'invalid-user-id' ? 'invalid-user-id' : 'invalid-body';
  return refused(code, fieldDetail(fault.field, NOTES[fault.kind]));
}
