import { type ServerRefusal, SocketClient } from '../socket-client.ts';
import type { Answer } from './api.ts';
import { type Check, expect } from './check.ts';
import type { ServerUnderTest } from './server-under-test.ts';

export const refusalChecks: readonly Check[] = [
  {
    name: 'refused: plain GET /ws',
    run: async ({ api }) => answered(await api.get('/ws'), 426, 'upgrade-required'),
  },
  {
    name: 'refused: no token',
    run: async (server) => refusedWith(await upgradeWith(server, {}), 400, 'missing-credentials'),
  },
  {
    name: 'refused: bad token',
    run: async (server) => {
      const token = `${server.tokens.A.slice(0, -8)}AAAAAAAA`;
      return refusedWith(await upgradeWith(server, { token }), 401, 'invalid-token');
    },
  },
  {
    name: 'refused: token of another user',
    run: async (server) => {
      const query = `?userId=${server.ids.B}`;
      return refusedWith(await upgradeWith(server, { token: server.tokens.A, query }), 403, 'user-mismatch');
    },
  },
  {
    name: 'refused: service endpoint without the key',
    run: async ({ api, ids }) =>
      answered(await api.post('/api/online/status', { body: { userIds: [ids.A] } }), 401, 'unauthorized'),
  },
  {
    name: 'refused: service endpoint with a user token',
    run: async ({ api, ids, tokens }) => {
      const body = { userIds: [ids.A] };
      return answered(await api.post('/api/online/status', { bearer: tokens.A, body }), 403, 'forbidden');
    },
  },
];

async function upgradeWith(
  server: ServerUnderTest,
  how: { readonly token?: string; readonly query?: string },
): Promise<ServerRefusal | undefined> {
  const opened = await SocketClient.open({
    url: server.wsUrl + (how.query ?? ''),
    clock: server.clock,
    protocol: 'lingxi.v1',
    ...(how.token === undefined ? {} : { token: how.token }),
  });
  if (!opened.ok) return opened.error;
  await opened.value.close();
  return undefined;
}

function refusedWith(refusal: ServerRefusal | undefined, status: number, code: string): string {
  expect(refusal !== undefined, `the connection was accepted instead of ${status} ${code}`);
  const seen = `${refusal.status} ${refusal.code}`;
  expect(refusal.status === status && refusal.code === code, `${seen} instead of ${status} ${code}`);
  return seen;
}

function answered(answer: Answer, status: number, code: string): string {
  const { error } = answer.body;
  const isRight = answer.status === status && answer.body['code'] === code && typeof error === 'string';
  expect(isRight, `${answer.seen} instead of ${status} ${code}`);
  return `${status} ${code}`;
}
