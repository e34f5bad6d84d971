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
  parseRunning,
  parseUserRecord,
  type ReadReply,
} from '../../src/presence/store/redis/replies.ts';
import type { ScriptName } from '../../src/presence/store/redis/scripts.ts';
import {
  ACKNOWLEDGED,
  CLAIM,
  decoder,
  END_REQUEST,
  type Layout,
  type Named,
  PERIOD,
  RENEWAL,
  SETTLED,
} from '../../src/presence/store/redis/wire.ts';
import type { EndedPeriod } from '../../src/protocol/periods.ts';
import { isError, type Reply } from './redis-bridge.ts';
import type { SimulatedRedis } from './simulated-redis.ts';

/** A call of a script as it is sent: the texts after the arguments that all scripts have. */
export interface ScriptCall {
  readonly caller: Caller;
  readonly args: readonly string[];
}

/** Both answers to one call, in the same form. */
export interface Answers {
  readonly script: unknown;
  readonly rules: unknown;
}

type Twin = (redis: SimulatedRedis, call: ScriptCall, reply: Reply) => Answers;

const COMMON_ARGS = 5;
const RENEWAL_WIDTH = Object.keys(RENEWAL).length;
const decodeClaim = decoder(CLAIM);
const decodeRenewal = decoder(RENEWAL);
const decodeSettled = decoder(SETTLED);

export function toScriptCall(sent: readonly (string | number)[]): ScriptCall {
  const [, node = '', lease = '', runId = '', , ...args] = sent.map(String);
  return { caller: { node, lease, runId }, args: sent.length > COMMON_ARGS ? args : [] };
}

/** For each script, repeats its effect on the rules. */
export const TWINS: Readonly<Record<ScriptName, Twin>> = {
  renew(redis, { caller, args }, reply) {
    const { highestEpoch, restoredIn, generation } = decodeRenewal(args);
    const acknowledged = listsIn(ACKNOWLEDGED, args.slice(RENEWAL_WIDTH));
    const request = {
      highestEpoch,
      restored: restoredIn !== '',
      acknowledged: acknowledged.map((loss) => ({ ...loss, reason: 'replaced' as const })),
    };
    const known = generation === 0 ? undefined : `::${generation}`;
    const world = restoredIn === '*' || restoredIn === '' ? known : restoredIn;
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
    const rules = redis.record(caller, listsIn(PERIOD, args));
    return { rules: rules.map((held) => (held ? 1 : 0)), script: reply };
  },
  withdraw(redis, { caller, args }, reply) {
    const script = isError(reply) ? 'no-lease' : reply;
    return { rules: redis.withdraw(caller, listsIn(PERIOD, args)), script };
  },
  unstated(redis, { caller, args }, reply) {
    const [, ...found] = reply as string[];
    const rules = redis.unstated(caller, Number(args[0]));
    return { rules: [...rules].sort(ascending), script: found.map(Number).sort(ascending) };
  },
  end(redis, { caller, args }, reply) {
    const rules = redis.end(caller, listsIn(END_REQUEST, args).map(toEndRequest));
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
    const script = parseReapAnswer(reply as unknown as readonly (string | number)[]);
    return {
      rules: { ...rules, ended: sortedEnds(rules.ended) },
      script: { ...script, ended: sortedEnds(script.ended) },
    };
  },
  read(redis, { caller, args }, reply) {
    const userIds = args.map(Number);
    const replies = reply as unknown as readonly ReadReply[];
    return {
      rules: [
        redis.read(caller.node, userIds),
        userIds.map((userId) => redis.running(userId)),
        userIds.map((userId) => redis.blockLeftMs(userId)),
      ],
      script: [
        userIds.map((userId, index) => parseUserRecord(userId, replies[index])),
        replies.map(parseRunning),
        replies.map(parseBlockLeft),
      ],
    };
  },
  knows(redis, { args }, reply) {
    const rules = redis.knows(listsIn(PERIOD, args));
    return { rules: rules.map((known) => (known ? 1 : 0)), script: reply };
  },
  acknowledge(redis, { args }, reply) {
    const entries = JSON.parse(args[0] ?? '') as readonly (readonly string[])[];
    redis.acknowledge(entries.map(decodeSettled));
    return { rules: 1, script: reply };
  },
  nodes: noRules,
  // Frames between nodes change no presence, and the simulator sends none.
  route: noRules,
  tell: noRules,
};

/** For scripts without a counterpart in the rules. */
function noRules(_redis: SimulatedRedis, _call: ScriptCall, reply: Reply): Answers {
  return { rules: reply, script: reply };
}

/** The answers in order, and after them the losses of other nodes. */
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

function toEndRequest(asked: Named<typeof END_REQUEST>): EndRequest {
  const { reason, blockMs, note, ...request } = asked;
  return {
    ...request,
    reason: reason as EndRequest['reason'],
    ...(blockMs < 0 ? {} : { blockMs }),
    ...(note === '' ? {} : { note }),
  };
}

/** Several lists of fields, one after another. */
function listsIn<List extends Layout>(list: List, flat: readonly string[]): readonly Named<List>[] {
  const decode = decoder(list);
  const width = Object.keys(list).length;
  const lists: Named<List>[] = [];
  for (let index = 0; index < flat.length; index += width)
    lists.push(decode(flat.slice(index, index + width)));
  return lists;
}

function usersIn(text: string): readonly number[] {
  return text === '' ? [] : text.split(',').map(Number);
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
