import { atPace } from '../../src/cli/bench/pace.ts';
import { type Spent, spending } from '../clock.ts';
import {
  connectTcp,
  type TcpHandlers,
  type TcpSocket,
  type Unwritten,
  writeAll,
  writeRest,
} from './bun-tcp.ts';
import { type HttpAnswer, readAnswer } from './http-answer.ts';
import { type StampedRequest, stamp, stampedRequest } from './stamped-request.ts';

export interface Posting {
  readonly port: number;
  readonly apiKey: string;
  /** Messages per request. With 1, the request has an object, not an array. */
  readonly batch: number;
  /** Keep-alive connections, each with one request in progress. */
  readonly connections: number;
  readonly seconds: number;
  /** Messages go to users `first` to `first + users - 1`. */
  readonly first: number;
  readonly users: number;
  /** Messages a second, whatever the server does. Absent: as many as the server answers. */
  readonly perSecond?: number;
}

export interface Posted extends Spent {
  /** Number of messages to send. */
  readonly asked: number;
  /** Number of messages in requests that were answered with 200. */
  readonly answered: number;
}

interface Caller extends Unwritten {
  part: Buffer | undefined;
  answered: ((answer: HttpAnswer) => void) | undefined;
  failed: ((error: Error) => void) | undefined;
}

/** Number of different prepared requests, which are sent in rotation. */
const PREPARED = 64;
const OK = 200;
const MAX_QUEUED = 100_000;

/** Posts messages on bare sockets, with prepared requests. */
export async function post(posting: Posting): Promise<Posted> {
  const requests = Array.from({ length: PREPARED }, () => stampedRequest(posting));
  const callers = await Promise.all(
    Array.from({ length: posting.connections }, () =>
      connectTcp<Caller>(
        posting.port,
        { rest: undefined, part: undefined, answered: undefined, failed: undefined },
        HANDLERS,
      ),
    ),
  );
  try {
    const { perSecond } = posting;
    return await (perSecond === undefined
      ? postAsFastAsAnswered(posting, callers, requests)
      : postAtPace(posting, callers, { requests, perSecond }));
  } finally {
    for (const caller of callers) caller.end();
  }
}

async function postAsFastAsAnswered(
  { seconds, batch }: Posting,
  callers: readonly TcpSocket<Caller>[],
  requests: readonly StampedRequest[],
): Promise<Posted> {
  const spent = spending();
  const end = performance.now() + seconds * 1000;
  let sent = 0;
  await Promise.all(
    callers.map(async (caller) => {
      while (performance.now() < end) {
        sent += 1;
        await send(caller, (requests[sent % PREPARED] as StampedRequest).bytes);
      }
    }),
  );
  return { ...spent(), asked: sent * batch, answered: sent * batch };
}

/** A request without a free connection waits in a queue. Its latency still counts from its due time. */
async function postAtPace(
  { seconds, batch }: Posting,
  callers: readonly TcpSocket<Caller>[],
  plan: { readonly requests: readonly StampedRequest[]; readonly perSecond: number },
): Promise<Posted> {
  const free = [...callers];
  const queued: { readonly intendedAt: number; readonly index: number }[] = [];
  let answered = 0;
  let failure: Error | undefined;
  const spent = spending();
  const work = async (caller: TcpSocket<Caller>): Promise<void> => {
    for (let next = queued.shift(); next !== undefined; next = queued.shift()) {
      const request = plan.requests[next.index % PREPARED] as StampedRequest;
      stamp(request, Math.round((performance.timeOrigin + next.intendedAt) * 1000));
      await send(caller, request.bytes);
      answered += batch;
    }
    free.push(caller);
  };
  const asked = await atPace(plan.perSecond / batch, seconds, (intendedAt, index) => {
    if (failure !== undefined) throw failure;
    if (queued.length >= MAX_QUEUED)
      throw new Error(`${MAX_QUEUED} requests wait for an answer of the server`);
    queued.push({ intendedAt, index });
    const caller = free.pop();
    if (caller !== undefined)
      work(caller).catch((error: Error) => {
        failure = error;
      });
  });
  while (free.length < callers.length && failure === undefined)
    await new Promise((resolve) => setTimeout(resolve, 1));
  if (failure !== undefined) throw failure;
  return { ...spent(), asked: asked * batch, answered };
}

/** Resolves with the answer 200. Any other answer is an error with its first line. */
function send(caller: TcpSocket<Caller>, bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    caller.data.failed = reject;
    caller.data.answered = ({ status, text }) =>
      status === OK ? resolve() : reject(new Error(`POST /api/messages answered ${status}: ${text()}`));
    writeAll(caller, bytes);
  });
}

const HANDLERS: TcpHandlers<Caller> = {
  data(caller, bytes) {
    const { data } = caller;
    const all = data.part === undefined ? bytes : Buffer.concat([data.part, bytes]);
    const answer = readAnswer(all);
    if (answer instanceof Error) {
      data.failed?.(answer);
      return;
    }
    data.part = answer === undefined ? Buffer.from(all) : undefined;
    if (answer !== undefined) data.answered?.(answer);
  },
  drain: writeRest,
  close: ({ data }) => data.failed?.(new Error('the server ended a connection of POST /api/messages')),
  error: ({ data }, error) => data.failed?.(error),
};
