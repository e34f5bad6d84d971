import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Gateway, type GatewayOptions, startGateway } from '../support/gateway-process.ts';
import { eventually } from '../support/ports.ts';
import { handshake, openRaw, type RawSocket } from '../support/raw-socket.ts';
import { freshUser } from '../support/stores.ts';
import { type Client, connect, refusal } from '../support/ws-client.ts';

const RUNTIMES = ['bun', 'node'] as const;
/** A client that does not answer a close is cut after 2 s. */
const CUT_MS = 2_000;
const MAX_REFUSED = 512;
/** Refusals in band to one address at once. */
const BURST = 200;

/** As a browser connects: with the token among its subprotocols, and an `Origin`. */
const browser = (gateway: Gateway, token?: string, query = ''): Promise<Client> =>
  connect(gateway.wsUrl, {
    protocols: ['lingxi.v1', ...(token === undefined ? [] : [`bearer.${token}`])],
    headers: { Origin: 'https://game.example' },
    query,
  });

/** How a browser is refused: the frames it gets, and the close. */
async function refused(gateway: Gateway, token?: string, query = '') {
  const client = await browser(gateway, token, query);
  const { code, reason } = await client.closed;
  return { code, reason, messages: client.messages, protocol: client.protocol };
}

async function started(runtime: 'bun' | 'node', env: GatewayOptions['env'] = {}): Promise<Gateway> {
  return startGateway({ runtime, stores: 'embedded', env: { LINGXI_UNKNOWN_USERS: 'create', ...env } });
}

describe.each(RUNTIMES)('upgrades of browsers that are refused, on %s', (runtime) => {
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

  it('session-exists closes with 4006, and the connection that exists stays', async () => {
    const token = gateway.token(freshUser());
    const first = await browser(gateway, token);
    await first.next('welcome');
    expect(await refused(gateway, token)).toMatchObject({ code: 4006, reason: 'session-exists' });
    first.ping();
    await first.next('pong');
    first.terminate();
  });

  it('an origin that is not allowed, and a plain GET, keep their HTTP status', async () => {
    const strict = await started(runtime, { LINGXI_ALLOWED_ORIGINS: 'https://other.example' });
    try {
      const options = { protocols: ['lingxi.v1'], headers: { Origin: 'https://game.example' } };
      expect((await refusal(strict.wsUrl, options)).status).toBe(403);
      expect((await strict.call('GET', '/ws')).status).toBe(426);
    } finally {
      await strict.stop();
    }
  });

  it('without Origin, or without lingxi.v1, the HTTP status stays', async () => {
    const token = 'x.y.z';
    expect((await refusal(gateway.wsUrl, { token, protocols: ['lingxi.v1'] })).status).toBe(401);
    expect((await refusal(gateway.wsUrl, { token, headers: { Origin: 'https://a.example' } })).status).toBe(
      401,
    );
  });

  it('a refusal is counted, is no connection, and leaves nothing open', async () => {
    const before = await figures(gateway);
    for (let count = 0; count < 20; count += 1) await refused(gateway, 'x.y.z');
    const after = await figures(gateway);
    expect(after.refused - before.refused).toBe(20);
    expect(after.connections).toBe(before.connections);
    expect(gateway.logs().some(({ event, connectionId }) => event === 'connected' && !connectionId)).toBe(
      false,
    );
  });
});

describe.each(RUNTIMES)('refusals for now on %s', (runtime) => {
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
      // It took no place: once the holder has left there is one again.
      holder.terminate();
      await eventually(async () => {
        const next = await browser(gateway, gateway.token(user));
        await next.next('welcome', 1000);
        next.terminate();
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

  it('clients that never answer the close are cut, and beyond the limits the HTTP status answers', async () => {
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
      // An HTTP status leaves the connection to the runtime's own timeouts.
      const refusedInBand = raws.filter((_, index) => heads[index]?.status === 101);
      const ends = await Promise.all(refusedInBand.map(({ ended }) => ended));
      expect(Math.max(...ends.map(({ at }) => at)) - began).toBeLessThan(CUT_MS + 5_000);
      for (const { code } of ends) expect([4003, 4110]).toContain(code);
      // Once the bursts are over, a browser is refused in band again, and who is welcome comes in.
      await eventually(async () => expect((await refused(gateway, 'x.y.z')).code).toBeGreaterThan(4000));
      const client = await browser(gateway, gateway.token(freshUser()));
      await client.next('welcome');
      client.terminate();
    } finally {
      for (const raw of raws) raw.destroy();
      await gateway.stop();
    }
  }, 30_000);
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
