import { describe, expect, it } from 'vitest';
import type { Gateway } from '../support/gateway-process.ts';
import { eventually, sleep } from '../support/ports.ts';
import { viewPresence, welcomeOf } from '../support/presence-view.ts';
import { openHttp, requestText } from '../support/raw-http.ts';
import { COMBINATIONS, deploy, freshUser } from '../support/stores.ts';
import { tryConnect } from '../support/ws-client.ts';

const readiness = async (gateway: Gateway): Promise<readonly unknown[]> => {
  const { status, body } = await gateway.call('GET', '/readyz');
  return [status, body['code']];
};

describe.concurrent.each(COMBINATIONS)('SIGTERM on $runtime with $kind', ({ runtime, kind }) => {
  it('[DR1] [DR2] sends goodbye, closes with 1012, exits with 0, and logs out nobody who returns', async () => {
    // Enough time for a start while other tests start their servers.
    const env = { LINGXI_HEARTBEAT_TIMEOUT_MS: '30000' };
    const deployment = await deploy({ runtime, kind, env });
    try {
      const { gateway } = deployment;
      const view = viewPresence(deployment);
      const [old, modern, leaver] = [freshUser(), freshUser(), freshUser()];
      const seed = await view.seed(old);
      const v1 = await view.v1(modern);
      const first = await welcomeOf(v1);
      await view.login(leaver);
      const { body } = await view.logout(leaver);

      const before = performance.now();
      const exit = gateway.terminate();
      const goodbye = await v1.next('goodbye');
      expect(goodbye.data).toEqual({
        code: 1012,
        reason: expect.any(String),
        reconnectAfterMs: expect.any(Number),
      });
      expect((await v1.closed).code).toBe(1012);
      expect((await seed.closed).code).toBe(1012);
      expect(seed.messages).toEqual([]);
      expect(await exit).toEqual({ code: 0, signal: null });
      expect(performance.now() - before).toBeLessThan(10_000);
      await expect(tryConnect(gateway.wsUrl, { token: gateway.token(freshUser()) })).rejects.toThrow();

      // The logout was written before the exit: after it, no process could do that.
      const [row] = await deployment.periods(leaver);
      expect(row).toMatchObject({ logoutAt: body['logoutTime'], settledAt: expect.any(Number) });

      await sleep(500);
      await gateway.restart();
      const again = await view.v1(modern);
      expect(await welcomeOf(again)).toMatchObject({ period: first.period, resumed: true });
      again.terminate();
    } finally {
      await deployment.stop();
    }
  });

  it('[DR1] POST /api/drain does the same as SIGTERM without the exit, and DELETE cancels it', async () => {
    const deployment = await deploy({ runtime, kind });
    try {
      const { gateway } = deployment;
      const view = viewPresence(deployment);
      const user = freshUser();
      const client = await view.v1(user);
      const first = await welcomeOf(client);
      expect((await gateway.service('POST', '/api/drain', { node: 'another' })).status).toBe(404);
      expect((await gateway.service('POST', '/api/drain')).body).toMatchObject({ draining: true });
      expect((await client.next('goodbye')).data).toMatchObject({ code: 1012 });
      expect((await client.closed).code).toBe(1012);
      const ready = await gateway.call('GET', '/readyz');
      expect([ready.status, ready.body['code']]).toEqual([503, 'draining']);
      const refused = await tryConnect(gateway.wsUrl, { token: gateway.token(user) });
      expect(refused).toMatchObject({ status: 503 });
      expect((await gateway.service('DELETE', '/api/drain')).body).toMatchObject({ draining: false });
      const again = await view.v1(user);
      expect(await welcomeOf(again)).toMatchObject({ period: first.period, resumed: true });
      again.terminate();
    } finally {
      await deployment.stop();
    }
  });

  it('[DR1] during the shutdown delay the node is not ready, but serves and accepts as before', async () => {
    const delayMs = 8_000;
    const env = { LINGXI_SHUTDOWN_DELAY_MS: String(delayMs), LINGXI_DRAIN_TIMEOUT_MS: '6000' };
    const deployment = await deploy({ runtime, kind, env });
    try {
      const { gateway } = deployment;
      const view = viewPresence(deployment);
      const early = await view.v1(freshUser());
      await early.next('welcome');
      const began = performance.now();
      const exit = gateway.terminate();
      await eventually(async () => expect(await readiness(gateway)).toEqual([503, 'draining']));
      const late = await view.v1(freshUser());
      await late.next('welcome');
      expect((await view.login(freshUser())).status).toBe(200);
      const sent = await gateway.service('POST', '/api/messages', {
        ...{ to: { all: true }, type: 'still', data: {} },
      });
      expect(sent.body).toMatchObject({ counts: { written: 2 } });
      expect(performance.now() - began).toBeLessThan(delayMs);

      const { at } = await Promise.race([early.closed, late.closed]);
      expect(at - began).toBeGreaterThan(delayMs - 50);
      expect(await tryConnect(gateway.wsUrl, { token: gateway.token(freshUser()) })).toMatchObject({
        status: 503,
        headers: expect.objectContaining({ 'retry-after': expect.stringMatching(/^[1-5]$/) }),
      });
      expect((await early.closed).code).toBe(1012);
      expect((await late.closed).code).toBe(1012);
      expect(await exit).toEqual({ code: 0, signal: null });
    } finally {
      await deployment.stop();
    }
  });

  it('[DR1] a second signal exits at once', async () => {
    const deployment = await deploy({ runtime, kind, env: { LINGXI_SHUTDOWN_DELAY_MS: '20000' } });
    try {
      const { gateway } = deployment;
      const view = viewPresence(deployment);
      await Promise.all(Array.from({ length: 5 }, () => view.seed(freshUser())));
      const exit = gateway.terminate();
      await gateway.waitForLog('draining');
      // An earlier signal would count as the first one, forwarded by the launcher.
      await sleep(1_000);
      const before = performance.now();
      await gateway.terminate();
      await exit;
      expect(performance.now() - before).toBeLessThan(5_000);
    } finally {
      await deployment.stop();
    }
  });
});

const streamOf = ({ apiKey }: Gateway): string =>
  requestText('GET', '/api/online/events', {
    headers: { Authorization: `Bearer ${apiKey}`, Accept: 'text/event-stream' },
  });
/** A comment. */
const FIRST_CHUNK = '\r\n3\r\n:\n\n\r\n';
const LAST_CHUNK = '\r\n0\r\n\r\n';
const UNREAD_ANSWERS = 15;

describe.concurrent.each(['bun', 'node'] as const)('a request in flight at SIGTERM on %s', (runtime) => {
  it('[DR1] is answered although the server has stopped listening, and holds nothing up afterwards', async () => {
    const deployment = await deploy({ runtime, kind: 'embedded' });
    try {
      const { gateway } = deployment;
      const body = JSON.stringify({ playerId: freshUser() });
      const head = [
        'POST /api/online/login HTTP/1.1',
        'Host: x',
        `Authorization: Bearer ${gateway.apiKey}`,
        'Content-Type: application/json',
        `Content-Length: ${body.length}`,
      ].join('\r\n');
      const request = openHttp(gateway.port(), `${head}\r\n\r\n${body.slice(0, 5)}`);
      // This client never sends the rest, so the server cuts it.
      const endless = openHttp(gateway.port(), `${head}\r\n\r\n${body.slice(0, 5)}`);
      // An answer to a later request says that the server has read both.
      expect((await gateway.call('GET', '/healthz')).status).toBe(200);
      const exit = gateway.terminate();
      await eventually(() => expect(fetch(`${gateway.url}/healthz`)).rejects.toThrow(), { intervalMs: 5 });
      request.write(body.slice(5));
      expect((await request.settled(1)).map(({ status }) => status)).toEqual([200]);
      expect(await exit).toEqual({ code: 0, signal: null });
      expect(await endless.settled(1)).toEqual([]);
    } finally {
      await deployment.stop();
    }
  });

  it('[DR1] ends the streams of the feed, each with its last chunk', async () => {
    const { gateway, stop } = await deploy({ runtime, kind: 'embedded' });
    try {
      const stream = openHttp(gateway.port(), streamOf(gateway));
      await eventually(() => expect(stream.received().toString()).toContain(FIRST_CHUNK));
      const began = performance.now();
      const exit = gateway.terminate();
      await stream.ended;
      expect(stream.received().toString().endsWith(LAST_CHUNK)).toBe(true);
      expect(await exit).toEqual({ code: 0, signal: null });
      expect(performance.now() - began).toBeLessThan(5_000);
    } finally {
      await stop();
    }
  });

  it('[DR1] a waiting upgrade behind answers that nobody reads does not delay the stop', async () => {
    const env = { LINGXI_DRAIN_TIMEOUT_MS: '20000' };
    const { gateway, stop } = await deploy({ runtime, kind: 'embedded', env });
    try {
      const userIds = Array.from({ length: 10_000 }, (_, index) => index + 1);
      const body = JSON.stringify({ to: { userIds }, type: 'note' });
      const push = requestText('POST', '/api/messages', {
        headers: { Authorization: `Bearer ${gateway.apiKey}`, 'Content-Type': 'application/json' },
        body,
      });
      const upgrade = [
        `GET /ws?token=${gateway.token(freshUser())} HTTP/1.1`,
        'Host: x',
        'Connection: Upgrade',
        'Upgrade: websocket',
        'Sec-WebSocket-Version: 13',
        'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
      ].join('\r\n');
      // The answers are longer than what the system keeps for a reader.
      const greedy = openHttp(gateway.port(), `${push.repeat(UNREAD_ANSWERS)}${upgrade}\r\n\r\n`);
      greedy.socket.pause();
      await eventually(async () => {
        const stats = await gateway.service('GET', '/ws/stats');
        // Bun takes the next request only after the answer before.
        const answered = runtime === 'bun' ? 1 : UNREAD_ANSWERS;
        expect(stats.body['messages']).toMatchObject({ offline: answered * userIds.length });
      });
      const began = performance.now();
      expect(await gateway.terminate()).toEqual({ code: 0, signal: null });
      expect(performance.now() - began).toBeLessThan(10_000);
      expect(gateway.logs().filter(({ level }) => level === 'error')).toEqual([]);
    } finally {
      await stop();
    }
  });
});
