import { describe, expect, it } from 'vitest';
import type { Gateway } from '../support/gateway-process.ts';
import { eventually, sleep } from '../support/ports.ts';
import { freshUser } from '../support/stores.ts';
import { endAll, figure, withCluster } from '../support/two-nodes.ts';
import { type Client, connect } from '../support/ws-client.ts';

const THREE_NODES = [{ runtime: 'bun' }, { runtime: 'node' }, { runtime: 'bun' }] as const;
const USERS = 12;
const MOVES = 16;
const STAY_MS = 250;
/** One more take-over within a minute would be refused (rule PR4). */
const TAKE_OVERS = 4;

/** A user who moves from node to node, and the messages that arrived on each connection. */
interface Mover {
  readonly user: number;
  readonly connections: Client[];
}

interface Outcome {
  readonly mover: Mover;
  readonly number: number;
  readonly status: string;
}

describe('messages to users who move between three nodes', () => {
  it('[scenario 44] [DL1] [DL4] [DL6] arrive in order if their outcome says so, or are unknown', () =>
    withCluster({ nodes: THREE_NODES, timeoutMs: 10_000 }, async ({ nodes }) => {
      const gateways = nodes.map(({ gateway }) => gateway);
      const movers = Array.from({ length: USERS }, (): Mover => ({ user: freshUser(), connections: [] }));
      await Promise.all(movers.map((mover, place) => enter(mover, gateways[place % 3] as Gateway)));
      const outcomes: Outcome[] = [];
      let isMoving = true;
      const sending = gateways.map((gateway, place) => {
        const own = movers.filter((_, index) => index % 3 === place);
        return sendUntil(gateway, own, { outcomes, isOver: () => !isMoving });
      });
      await Promise.all(movers.map((mover, place) => move(mover, gateways, place))).finally(() => {
        isMoving = false;
      });
      await Promise.all(sending);
      await eventually(() => expectTrue(outcomes), { timeoutMs: 15_000 });
      endAll(movers.flatMap(({ connections }) => connections));
    }));
});

async function enter(mover: Mover, gateway: Gateway): Promise<void> {
  const client = await connect(gateway.wsUrl, {
    token: gateway.token(mover.user),
    protocols: ['lingxi.v1'],
  });
  client.keepAlive(1_000);
  client.socket.on('message', (data: Buffer) => {
    const { id } = JSON.parse(data.toString()) as { id?: string };
    if (id !== undefined && client.socket.readyState === client.socket.OPEN) client.send({ type: 'ack', id });
  });
  mover.connections.push(client);
}

/** First as a second device that takes over the user, then as a client that closes and reconnects elsewhere. */
async function move(mover: Mover, gateways: readonly Gateway[], place: number): Promise<void> {
  for (let turn = 1; turn <= MOVES; turn += 1) {
    await sleep(STAY_MS + 7 * place);
    const last = mover.connections.at(-1);
    if (turn > TAKE_OVERS) {
      last?.close();
      await last?.closed;
      // Until the store has learned of the close, the next connection would count as a take-over.
      await eventually(async () =>
        expect(await connectionsOf(mover, gateways[place % 3] as Gateway)).toBe(0),
      );
    }
    await enter(mover, gateways[(place + turn) % gateways.length] as Gateway);
    await last?.closed;
  }
}

async function connectionsOf({ user }: Mover, gateway: Gateway): Promise<unknown> {
  return (await gateway.service('GET', `/api/online/player/${user}`)).body['connections'];
}

/** Two numbered messages to each user in every batch; each second batch asks for acknowledgements. */
async function sendUntil(
  gateway: Gateway,
  movers: readonly Mover[],
  { outcomes, isOver }: { readonly outcomes: Outcome[]; readonly isOver: () => boolean },
): Promise<void> {
  for (let number = 1; !isOver(); number += 2) {
    const sent = movers.flatMap((mover) => [number, number + 1].map((each) => ({ mover, number: each })));
    const batch = sent.map(({ mover, number: data }) => ({
      to: { userId: mover.user },
      type: 'numbered',
      data,
      ...(number % 4 === 1 ? { ack: true, timeoutMs: 500 } : {}),
    }));
    const { status, body } = await gateway.service('POST', '/api/messages', batch);
    expect(status).toBe(200);
    const reports = body as unknown as readonly { results: readonly { status: string }[] }[];
    sent.forEach((each, index) =>
      outcomes.push({ ...each, status: reports[index]?.results[0]?.status ?? '' }),
    );
  }
}

function expectTrue(outcomes: readonly Outcome[]): void {
  const counts: Record<string, number> = {};
  const untrue: string[] = [];
  const got = new Map<Mover, ReadonlySet<number>>();
  for (const mover of new Set(outcomes.map((outcome) => outcome.mover))) {
    const numbers = mover.connections.map(({ messages }) =>
      messages.filter(({ type }) => type === 'numbered').map(({ data }) => Number(data)),
    );
    for (const arrived of numbers)
      expect(arrived, `of user ${mover.user}`).toEqual(
        [...new Set(arrived)].sort((left, right) => left - right),
      );
    got.set(mover, new Set(numbers.flat()));
  }
  for (const { mover, number, status } of outcomes) {
    counts[status] = (counts[status] ?? 0) + 1;
    const hasArrived = got.get(mover)?.has(number) === true;
    const mayHaveArrived =
      status === 'unknown' || hasArrived === (status === 'acked' || status === 'written');
    if (!mayHaveArrived) untrue.push(`${status}: ${number} of user ${mover.user}`);
  }
  expect(untrue).toEqual([]);
  expect(counts['written']).toBeGreaterThan(100);
  expect(counts['acked']).toBeGreaterThan(100);
  figure(44, `outcomes for users who move: ${JSON.stringify(counts)}`);
}
