import type { Caller } from '../../src/presence/rules/lease.ts';
import type { Claim, EndRequest, GroupChange } from '../../src/presence/store/port.ts';
import {
  parseBlockLeft,
  parseClaimAnswer,
  parseEndAnswer,
  parseGroupAnswer,
  parseLost,
  parseReapAnswer,
  parseRenewAnswer,
  parseUserRecord,
  type ReadReply,
  type ReapReply,
} from '../../src/presence/store/redis/replies.ts';
import type { ScriptName } from '../../src/presence/store/redis/scripts.ts';
import { CLAIM, decoder, END_REQUEST } from '../../src/presence/store/redis/wire.ts';
import type { EndedPeriod } from '../../src/protocol/periods.ts';
import { isError, type Reply } from './redis-bridge.ts';
import type { SimulatedRedis } from './simulated-redis.ts';

/** A call of a script as it is sent: what follows the arguments that all scripts have, as text. */
export interface ScriptCall {
  readonly caller: Caller;
  readonly args: readonly string[];
}

/** What both say of one call, in one form. */
export interface Answers {
  readonly script: unknown;
  readonly rules: unknown;
}

type Twin = (redis: SimulatedRedis, call: ScriptCall, reply: Reply) => Answers;

const COMMON_ARGS = 5;
const END_REQUEST_WIDTH = Object.keys(END_REQUEST).length;
const decodeClaim = decoder(CLAIM);
const decodeEndRequest = decoder(END_REQUEST);

export function toScriptCall(sent: readonly (string | number)[]): ScriptCall {
  const [, node = '', lease = '', runId = '', , ...args] = sent.map(String);
  return { caller: { node, lease, runId }, args: sent.length > COMMON_ARGS ? args : [] };
}

/** Lets the rules do what a script has done. */
export const TWINS: Readonly<Record<ScriptName, Twin>> = {
  renew(redis, { caller, args }, reply) {
    const [highestEpoch = '', restatedIn = '', lived = '', ...acknowledged] = args;
    const request = {
      highestEpoch: Number(highestEpoch),
      restored: restatedIn !== '',
      acknowledged: pairsOf(acknowledged).map(([userId, rev]) => ({
        userId,
        rev,
        reason: 'replaced' as const,
      })),
    };
    const known = lived === '0' ? undefined : `::${lived}`;
    const world = restatedIn === '*' || restatedIn === '' ? known : restatedIn;
    const rules = redis.renew(caller, request, world);
    if (rules === undefined) return { rules: 'stale', script: isError(reply) ? 'stale' : reply };
    const script = isError(reply) ? reply : sortedLosses(parseRenewAnswer(reply as (number | string)[]));
    return { rules: sortedLosses(rules), script };
  },
  claim(redis, { caller, args }, reply) {
    const claims = (JSON.parse(args[2] ?? '') as readonly (readonly (string | number)[])[]).map(toClaim);
    const rules = redis.claim(caller, claims);
    return withLost({ redis, rules, reply, parse: parseClaimAnswer });
  },
  record(redis, { caller, args }, reply) {
    const rules = redis.record(caller, pairsOf(args).map(toRow));
    return { rules: rules.map((held) => (held ? 1 : 0)), script: reply };
  },
  withdraw(redis, { caller, args }, reply) {
    const script = isError(reply) ? 'no-lease' : reply;
    return { rules: redis.withdraw(caller, pairsOf(args).map(toRow)), script };
  },
  unstated(redis, { caller, args }, reply) {
    const [, ...found] = reply as string[];
    const rules = redis.unstated(caller, Number(args[0]));
    return { rules: [...rules].sort(ascending), script: found.map(Number).sort(ascending) };
  },
  end(redis, { caller, args }, reply) {
    const requests: EndRequest[] = [];
    for (let index = 0; index < args.length; index += END_REQUEST_WIDTH)
      requests.push(toEndRequest(args.slice(index, index + END_REQUEST_WIDTH)));
    const rules = redis.end(caller, requests);
    return withLost({ redis, rules, reply, parse: parseEndAnswer });
  },
  groups(redis, { caller, args }, reply) {
    const [group = '', , add = '', remove = ''] = args;
    const change: GroupChange = { group, add: usersIn(add), remove: usersIn(remove) };
    const script = isError(reply) ? reply : (reply as string[]).map(parseGroupAnswer);
    return { rules: redis.changeGroup(caller, change), script };
  },
  reap(redis, { caller, args }, reply) {
    const rules = redis.reap(caller, Number(args[1]));
    if (isError(reply)) return { rules, script: reply };
    const script = parseReapAnswer(reply as unknown as ReapReply);
    return {
      rules: { ...rules, ended: sortedEnds(rules.ended) },
      script: { ...script, ended: sortedEnds(script.ended) },
    };
  },
  read(redis, { caller, args }, reply) {
    const userIds = args.map(Number);
    const replies = reply as unknown as readonly ReadReply[];
    return {
      rules: [redis.read(caller.node, userIds), userIds.map((userId) => redis.blockLeftMs(userId))],
      script: [
        userIds.map((userId, index) => parseUserRecord(userId, replies[index])),
        replies.map(parseBlockLeft),
      ],
    };
  },
  knows(redis, { args }, reply) {
    const rules = redis.knows(pairsOf(args).map(toRow));
    return { rules: rules.map((known) => (known ? 1 : 0)), script: reply };
  },
  acknowledge(redis, { args }, reply) {
    const entries = JSON.parse(args[0] ?? '') as readonly (readonly [string, string, string])[];
    redis.acknowledge(
      entries.map(([id, userId, period]) => ({ id, userId: Number(userId), period: Number(period) })),
    );
    return { rules: 1, script: reply };
  },
  nodes: noRules,
  // Frames between nodes change no presence, and the simulator sends none.
  route: noRules,
  tell: noRules,
};

/** What the rules say nothing of. */
function noRules(_redis: SimulatedRedis, _call: ScriptCall, reply: Reply): Answers {
  return { rules: reply, script: reply };
}

/** Answers one by one, and behind them what other nodes lost. */
function withLost<Answer>(call: {
  readonly redis: SimulatedRedis;
  readonly rules: readonly Answer[];
  readonly reply: Reply;
  readonly parse: (text: string) => Answer;
}): Answers {
  const { reply, parse } = call;
  const rules = { answers: call.rules, lost: call.redis.takeLost() };
  if (isError(reply)) return { rules, script: reply };
  const [texts, count] = [reply as string[], call.rules.length];
  if (texts.some((text) => typeof text !== 'string'))
    throw new Error(`a script answered more than texts: ${JSON.stringify(reply)}`);
  const answers = texts.slice(0, count).map(parse);
  return { rules, script: { answers, lost: parseLost(texts.slice(count)) } };
}

function toClaim(fields: readonly (string | number)[]): Claim {
  const claim = decodeClaim(fields);
  return { ...claim, mode: claim.mode as Claim['mode'] };
}

function toEndRequest(fields: readonly string[]): EndRequest {
  const { reason, blockMs, note, ...request } = decodeEndRequest(fields);
  return {
    ...request,
    reason: reason as EndRequest['reason'],
    ...(blockMs < 0 ? {} : { blockMs }),
    ...(note === '' ? {} : { note }),
  };
}

function pairsOf(flat: readonly string[]): readonly (readonly [number, number])[] {
  const pairs: [number, number][] = [];
  for (let index = 0; index + 1 < flat.length; index += 2)
    pairs.push([Number(flat[index]), Number(flat[index + 1])]);
  return pairs;
}

function usersIn(text: string): readonly number[] {
  return text === '' ? [] : text.split(',').map(Number);
}

function toRow([userId, period]: readonly [number, number]): { userId: number; period: number } {
  return { userId, period };
}

/** Redis keeps no order of them. */
function sortedLosses<Answer extends { readonly losses: readonly { readonly userId: number }[] }>(
  answer: Answer,
): Answer {
  return { ...answer, losses: [...answer.losses].sort((left, right) => left.userId - right.userId) };
}

function sortedEnds(ended: readonly EndedPeriod[]): readonly EndedPeriod[] {
  return [...ended].sort((left, right) => left.userId - right.userId || left.period - right.period);
}

function ascending(left: number, right: number): number {
  return left - right;
}
