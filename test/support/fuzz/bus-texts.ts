import type { Random } from '../../simulation/random.ts';
import { type Case, type Channel, magnitude, mutate, type Part, randomOf } from './case.ts';
import type { Users } from './handshakes.ts';
import { value } from './json.ts';

/** A placeholder for the name of the listening node, which differs in each process. */
export const NODE_NAME = '@node@';

/** The connected user, the receiver of most pushes. */
export const LISTENER = 1_000;

const TEXTS_OF_A_CASE = 10;
const MAX_TEXT_BYTES = 1_000_000;
const MAX_NAMED_USERS = 12_000;
/** More than a notice may contain. */
const MAX_LOSSES = 1_000;
/** Share of the texts that are broken after they were written. */
const BROKEN = 0.1;

/** A few texts that are published one after another. */
export function busCase(seed: number, index: number, users: Users): Case {
  const random = randomOf(seed, 'bus', index);
  const parts = Array.from({ length: random.int(1, TEXTS_OF_A_CASE) }, () => busText(random, users));
  return { kind: 'bus', index, recipe: 'texts', parts, leaving: 'end' };
}

function busText(random: Random, users: Users): Part {
  const channel = random.weighted({ push: 6, calls: 3, other: 1 });
  const { text, what } = textFor(channel, random, users);
  const bytes = Buffer.from(text);
  if (!random.chance(BROKEN))
    return { what: `${what} (${bytes.length} bytes) on ${channel}`, bytes, channel };
  const broken = random.chance(0.5) ? mutate(random, bytes) : bytes.subarray(0, random.int(0, bytes.length));
  return { what: `broken ${what} (${broken.length} bytes) on ${channel}`, bytes: broken, channel };
}

function textFor(
  channel: Channel,
  random: Random,
  users: Users,
): { readonly text: string; readonly what: string } {
  switch (channel) {
    case 'push':
      return pushText(random, users);
    case 'calls':
      return callText(random);
    case 'other':
      return random.chance(0.3) ? callText(random) : lossesText(random);
  }
}

/** A notice of losses. A valid one may rightly close the socket of the listener, who then reconnects. */
function lossesText(random: Random): { readonly text: string; readonly what: string } {
  if (random.chance(0.2)) {
    const inner = value(random, magnitude(random, 1, MAX_TEXT_BYTES));
    return { text: `{"lost":${inner.text}}`, what: `a notice of ${inner.what}` };
  }
  const part = (usual: string): string =>
    random.chance(0.8) ? usual : random.pick(['null', '-1', '1e999', '"x"', '[]', '{"__proto__":1}', '0.5']);
  const loss = (): string =>
    `[${part(String(LISTENER))},${part(String(magnitude(random, 1, 1e9)))},${part(random.pick(['"replaced"', '"logout"', '"kick"']))},${part('"note"')}]`;
  const count = magnitude(random, 1, MAX_LOSSES);
  const losses = Array.from({ length: count }, loss);
  return { text: `{"lost":[${losses.join(',')}]}`, what: `a notice of ${count} losses` };
}

function pushText(random: Random, users: Users): { readonly text: string; readonly what: string } {
  const user = random.chance(0.7) ? LISTENER : random.int(users.first, users.last);
  const inner = value(random, magnitude(random, 1, MAX_TEXT_BYTES));
  const small = value(random, 200);
  switch (random.weighted({ data: 6, all: 0.5, to: 3, many: 1, type: 1, field: 2, bare: 2 })) {
    case 'data':
      return {
        text: `{"to":{"userId":${user}},"type":"t","data":${inner.text}}`,
        what: `a push of ${inner.what}`,
      };
    case 'all':
      return {
        text: `{"to":{"all":true},"type":"t","data":${small.text}}`,
        what: `a push to all of ${small.what}`,
      };
    case 'to':
      return { text: `{"to":${small.text},"type":"t"}`, what: `a push to ${small.what}` };
    case 'many': {
      const count = magnitude(random, 1, MAX_NAMED_USERS);
      const id = random.pick([String(user), '"1"', '-1', 'null', '[]']);
      return {
        text: `{"to":{"userIds":[${Array.from({ length: count }, () => id).join(',')}]},"type":"t"}`,
        what: `a push to ${count} times ${id}`,
      };
    }
    case 'type':
      return {
        text: `{"to":{"userId":${user}},"type":${inner.text}}`,
        what: `a push of the type ${inner.what}`,
      };
    case 'field':
      return {
        text: `{"to":{"userId":${user}},"type":"t","${random.pick(['ack', 'timeoutMs', 'key', '__proto__', 'ttlMs', 'toJSON'])}":${small.text}}`,
        what: `a push with a field ${small.what}`,
      };
    case 'bare':
      return inner;
  }
}

/** Messages between nodes. A foreign program on Redis may rightly start a drain, so no drain call here has the value `true`. */
function callText(random: Random): { readonly text: string; readonly what: string } {
  const inner = value(random, magnitude(random, 1, MAX_TEXT_BYTES));
  const from = random.pick([
    `"${NODE_NAME}"`,
    '"x"',
    '""',
    '"\\u0000"',
    '"a b\\r\\n"',
    `"${'x'.repeat(magnitude(random, 1, 100_000))}"`,
  ]);
  switch (random.weighted({ call: 3, drain: 3, answer: 3, id: 1, from: 1, bare: 2 })) {
    case 'call':
      return { text: `{"id":"1","from":${from},"call":${inner.text}}`, what: `a call ${inner.what}` };
    case 'drain': {
      const drain = random.pick(['false', '0', '"true"', 'null', '[true]', '{"a":1}']);
      return {
        text: `{"id":"1","from":${from},"call":{"drain":${drain}}}`,
        what: `a call to drain ${drain}`,
      };
    }
    case 'answer':
      return { text: `{"id":"1","answer":${inner.text}}`, what: `an answer ${inner.what}` };
    case 'id':
      return {
        text: `{"id":${inner.text},"from":${from},"call":{"drain":false}}`,
        what: `a call with the id ${inner.what}`,
      };
    case 'from':
      return {
        text: `{"id":"1","from":${inner.text},"call":{"drain":false}}`,
        what: `a call from ${inner.what}`,
      };
    case 'bare':
      return inner;
  }
}
