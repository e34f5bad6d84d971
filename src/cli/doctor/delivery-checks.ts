import type { Message } from '../socket-client.ts';
import { type Check, expect } from './check.ts';
import { record, type ServerUnderTest, SOON_MS, show } from './server-under-test.ts';

/** The messages that the Go server pushes to its pages, with the fields that the pages read. The gateway forwards any type. */
const SEED_EVENTS: readonly { readonly type: string; readonly data: unknown }[] = [
  {
    type: 'spirit:grow',
    data: { oldSpirit: 1011.5, newSpirit: 1024, gainAmount: 12.5, spiritRate: 1.25, elapsedSeconds: 10 },
  },
  {
    type: 'dungeon:event',
    data: {
      eventType: 'combat_round',
      dungeon: '青云洞',
      message: '造成 12 点伤害',
      roundNum: 3,
      damageDealt: 12,
    },
  },
  {
    type: 'leaderboard:update',
    data: {
      type: 'update',
      category: 'spirit',
      top10: [],
      userRank: { rank: 7, value: 1024, percent: 12.5 },
    },
  },
  {
    type: 'exploration:event',
    data: {
      eventType: 'progress',
      exploreName: '灵石矿脉',
      message: '探索中',
      progress: 50,
      elapsedSecs: 30,
    },
  },
];

const ARRIVED = ['acked', 'written', 'queued'];

export const deliveryChecks: readonly Check[] = [
  {
    name: 'push of four event types to a lingxi.v1 client',
    run: (server) => pushAll(server, 'lingxi.v1'),
  },
  { name: 'push of four event types to a seed client', run: (server) => pushAll(server, 'seed') },
  {
    name: 'push to an absent user',
    async run(server) {
      const { seen, result } = await push(server, server.ids.B, { type: 'spirit:grow', data: null });
      expect(result['status'] === 'offline', seen);
      return seen;
    },
  },
  {
    name: 'unknown and malformed client messages are ignored',
    async run(server) {
      const client = await server.connect('A');
      await server.welcomeOf(client);
      for (const text of ['{"type":"doctor_unknown_type"}', '{"type":', '[]', 'null', '{"data":1}']) {
        client.send(text);
      }
      await server.expectAlive(client);
      await client.close();
      return 'the connection stays and answers';
    },
  },
];

async function pushAll(server: ServerUnderTest, protocol: 'lingxi.v1' | 'seed'): Promise<string> {
  const client = await server.connect('A', { protocol });
  if (protocol === 'lingxi.v1') await server.welcomeOf(client);
  const statuses: unknown[] = [];
  for (const event of SEED_EVENTS) {
    const { seen, result } = await push(server, server.ids.A, event);
    expect(ARRIVED.includes(String(result['status'])), `${event.type}: ${seen}`);
    statuses.push(result['status']);
    // A back end may also push a message of the same type. The data identifies the message of this check.
    const text = JSON.stringify(event.data);
    const isOurs = ({ type, data }: Message): boolean => type === event.type && JSON.stringify(data) === text;
    const message =
      (await client.next(isOurs, SOON_MS)) ?? client.unread.findLast(({ type }) => type === event.type);
    const isRight =
      message !== undefined &&
      isOurs(message) &&
      message.userId === server.ids.A &&
      Math.abs(Number(message.timestamp) - server.clock.now() / 1000) < 5;
    expect(isRight, `${event.type} arrived as ${show(message)}`);
  }
  await client.close();
  return `${SEED_EVENTS.map(({ type }) => type).join(', ')}: ${statuses.join(', ')}`;
}

async function push(
  server: ServerUnderTest,
  userId: number,
  event: { readonly type: string; readonly data: unknown },
): Promise<{ readonly seen: string; readonly result: Readonly<Record<string, unknown>> }> {
  const answer = await server.api.post('/api/messages', {
    bearer: server.serviceKey,
    body: { to: { userId }, ...event },
  });
  const { results } = answer.body;
  expect(answer.status === 200 && Array.isArray(results) && results.length === 1, answer.seen);
  return { seen: answer.seen, result: record(results[0]) };
}
