import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Gateway, type GatewayOptions, startGateway } from '../support/gateway-process.ts';
import { eventually } from '../support/ports.ts';
import { handshake, openRaw, type RawSocket } from '../support/raw-socket.ts';
import { freshUser } from '../support/stores.ts';
import { type Client, connect, refusal } from '../support/ws-client.ts';

const RUNTIMES = ['bun', 'node'] as const;
/** The server cuts a client that does not answer a close after 2 s. */
const CUT_MS = 2_000;
const MAX_REFUSED = 512;
/** Number of refusals in band that one address may have at once. */
const BURST = 200;

/** Connects like a browser: with the token among its subprotocols, and with an `Origin`. */
const browser = (gateway: Gateway, token?: string, query = ''): Promise<Client> =>
  connect(gateway.wsUrl, {
    protocols: ['lingxi.v1', ...(token === undefined ? [] : [`bearer.${token}`])],
    headers: { Origin: 'https://game.example' },
    query,
  });

/** How the server refuses a browser: the frames before the close, and the close. */
async function refused(gateway: Gateway, token?: string, query = '') {
  const client = await browser(gateway, token, query);
  const { code, reason } = await client.closed;
  return { code, reason, messages: client.messages, protocol: client.protocol };
}

async function started(runtime: 'bun' | 'node', env: GatewayOptions['env'] = {}): Promise<Gateway> {
  return startGateway({ runtime, stores: 'embedded', env: { LINGXI_UNKNOWN_USERS: 'create', ...env } });
}

describe.each(RUNTIMES)('refused upgrades of browsers, on %s', (runtime) => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await started(runtime, { LINGXI_SESSION_POLICY: 'reject' });
  });
  afterAll(() => gateway?.stop());

  it.each<[string, number, () => readonly [string | undefined, string]]>([
    ['missing-credentials', 4008, () => [undefined, '']],
    ['invalid-user-id', 4008, () => [gateway.token(freshUser()), '?userId=x']],
    ['user-mismatch', 4008, () => [gateway.token(freshUser()), '?userId=999999']],
    ['invalid-token', 4003, () => [gateway.token(freshUser(), { secret: 'x'.repeat(40) }), '']],
    ['invalid-token', 4003, () => [gateway.token(freshUser(), { expiresInS: -5 }), '']],
  ])('[CR4] %s closes with %i and the stable code as its reason', async (reason, code, offer) => {
    const [token, query] = offer();
    expect(await refused(gateway, token, query)).toEqual({
      ...{ code, reason, messages: [], protocol: 'lingxi.v1' },
    });
  });

  it('blocked closes with 4005', async () => {
    const user = freshUser();
    await gateway.service('POST', `/api/users/${user}/disconnect`, { blockMs: 60_000 });
    expect(await refused(gateway, gateway.token(user))).toMatchObject({ code: 4005, reason: 'blocked' });
  });

  it('session-exists closes with 4006, and the existing connection stays', async () => {
    const token = gateway.token(freshUser());
    const first = await browser(gateway, token);
    await first.next('welcome');
    expect(await refused(gateway, token)).toMatchObject({ code: 4006, reason: 'session-exists' });
    first.ping();
    await first.next('pong');
    first.terminate();
  });

  it('an origin that is not allowed and a plain GET still get their HTTP status', async () => {
    const strict = await started(runtime, { LINGXI_ALLOWED_ORIGINS: 'https://other.example' });
    try {
      const options = { protocols: ['lingxi.v1'], headers: { Origin: 'https://game.example' } };
      expect((await refusal(strict.wsUrl, options)).status).toBe(403);
      expect((await strict.call('GET', '/ws')).status).toBe(426);
    } finally {
      await strict.stop();
    }
  });

  it('without Origin or without lingxi.v1 the answer has its HTTP status', async () => {
    const token = 'x.y.z';
    expect((await refusal(gateway.wsUrl, { token, protocols: ['lingxi.v1'] })).status).toBe(401);
    expect((await refusal(gateway.wsUrl, { token, headers: { Origin: 'https://a.example' } })).status).toBe(
      401,
    );
  });

  it('a refusal is counted, does not count as a connection, and leaves nothing open', async () => {
    // The clients of the tests before have left, and the server may still notice that.
    await eventually(async () => expect((await figures(gateway)).connections).toBe(0));
    const before = await figures(gateway);
    for (let count = 0; count < 20; count += 1) await refused(gateway, 'x.y.z');
    const after = await figures(gateway);
    expect(after.refused - before.refused).toBe(20);
    expect(after.connections).toBe(before.connections);
    const lines = await gateway.logsSoFar();
    expect(lines.some(({ event, connectionId }) => event === 'connected' && !connectionId)).toBe(false);
  });
});

describe.each(RUNTIMES)('temporary refusals on %s', (runtime) => {
  it('[DR4] a full node says goodbye and closes with 4110; the refusal proves the life of a user who is online', async () => {
    const gateway = await started(runtime, {
      LINGXI_MAX_CONNECTIONS: '1',
      LINGXI_HTTP_TIMEOUT_MS: '60000',
    });
    try {
      const holder = await browser(gateway, gateway.token(freshUser()));
      await holder.next('welcome');
      const user = freshUser();
      await gateway.service('POST', '/api/online/login', { playerId: user });
      const shown = async () =>
        Number((await gateway.service('GET', `/api/online/player/${user}`)).body['lastHeartbeat']);
      const before = await shown();
      const { code, reason, messages } = await refused(gateway, gateway.token(user));
      expect([code, reason]).toEqual([4110, 'overloaded']);
      expect(messages).toHaveLength(1);
      expect(messages[0]).toMatchObject({ type: 'goodbye', data: { code: 4110, reason: 'overloaded' } });
      const [{ data } = { data: {} }] = messages;
      const { reconnectAfterMs } = data as { reconnectAfterMs: number };
      expect(reconnectAfterMs).toBeGreaterThanOrEqual(1000);
      expect(reconnectAfterMs).toBeLessThanOrEqual(5000);
      await eventually(async () => expect(await shown()).toBeGreaterThan(before));
      // The refusal took no place: after the holder has left, a place is free.
      holder.terminate();
      await eventually(async () => {
        const next = await browser(gateway, gateway.token(user));
        // A connection that is given up must not keep the only place.
        await next.next('welcome', 1000).finally(() => next.terminate());
      });
    } finally {
      await gateway.stop();
    }
  });

  it('a node that drains, and an address with too many connections, close with 4110', async () => {
    const gateway = await started(runtime, { LINGXI_MAX_CONNECTIONS_PER_IP: '1' });
    try {
      const holder = await browser(gateway, gateway.token(freshUser()));
      await holder.next('welcome');
      expect(await refused(gateway, gateway.token(freshUser()))).toMatchObject({
        ...{ code: 4110, reason: 'rate-limited' },
        messages: [{ type: 'goodbye', data: { reason: 'rate-limited' } }],
      });
      holder.terminate();
      await gateway.service('POST', '/api/drain', {});
      await eventually(async () =>
        expect(await refused(gateway, gateway.token(freshUser()))).toMatchObject({
          ...{ code: 4110, reason: 'draining' },
          messages: [{ type: 'goodbye', data: { reason: 'draining' } }],
        }),
      );
      for (const header of ['X-Forwarded-For', 'Forwarded', 'Via']) {
        const headers = { Origin: 'https://game.example', [header]: '203.0.113.7' };
        const answer = await refusal(gateway.wsUrl, { protocols: ['lingxi.v1'], headers });
        expect([answer.status, answer.body['code']]).toEqual([503, 'draining']);
      }
    } finally {
      await gateway.stop();
    }
  });

  it('clients that never answer the close are cut, and beyond the limits the answer is the HTTP status', async () => {
    const gateway = await started(runtime);
    const raws: RawSocket[] = [];
    try {
      const headers = { Origin: 'https://game.example', 'Sec-WebSocket-Protocol': 'lingxi.v1' };
      const began = performance.now();
      for (let count = 0; count < MAX_REFUSED + 100; count += 1)
        raws.push(openRaw(gateway.port(), handshake('/ws', 'x', headers)));
      const heads = await Promise.all(raws.map(({ head }) => head));
      const statuses = new Set(heads.map(({ status }) => status));
      expect([...statuses].every((status) => [101, 401, 429].includes(status))).toBe(true);
      const accepted = heads.filter(({ status }) => status === 101).length;
      expect(accepted).toBeGreaterThanOrEqual(BURST);
      expect(accepted).toBeLessThan(MAX_REFUSED);
      // After an HTTP status, the runtime's own timeouts end the connection.
      const refusedInBand = raws.filter((_, index) => heads[index]?.status === 101);
      const ends = await Promise.all(refusedInBand.map(({ ended }) => ended));
      expect(Math.max(...ends.map(({ at }) => at)) - began).toBeLessThan(CUT_MS + 10_000);
      for (const { code } of ends) expect([4003, 4110]).toContain(code);
      // After the bursts, a browser is refused in band again, and a valid client can connect.
      await eventually(async () => expect((await refused(gateway, 'x.y.z')).code).toBeGreaterThan(4000));
      const client = await browser(gateway, gateway.token(freshUser()));
      await client.next('welcome');
      client.terminate();
    } finally {
      for (const raw of raws) raw.destroy();
      await gateway.stop();
    }
  }, 60_000);
});

async function figures(
  gateway: Gateway,
): Promise<{ readonly refused: number; readonly connections: number }> {
  const { text } = await gateway.call('GET', '/metrics');
  const value = (name: RegExp): number =>
    [...text.matchAll(name)].reduce((sum, [, digits]) => sum + Number(digits), 0);
  return {
    refused: value(/^lingxi_refused_total\{code="invalid-token"\} (\d+)$/gm),
    connections: value(/^lingxi_connections (\d+)$/gm),
  };
}
