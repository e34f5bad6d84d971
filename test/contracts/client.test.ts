import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { createClient } from '../../src/client/index.ts';
import type { Client, ClientOptions, State, TokenReason } from '../../src/client/types.ts';
import { deployEach } from '../support/deploy-each.ts';
import { type Gateway, startGateway } from '../support/gateway-process.ts';
import { eventually, freePort, sleep } from '../support/ports.ts';
import { createProgramFolder, type ProgramFolder } from '../support/program.ts';
import { COMBINATIONS, freshUser } from '../support/stores.ts';
import { connect } from '../support/ws-client.ts';

const TIMEOUT_MS = 4_000;
/** Longer than any wait of the client in these tests. */
const WAIT_MS = 15_000;

interface Started {
  readonly client: Client<{ note: number }>;
  readonly states: State[];
  readonly notes: number[];
  /** Resolves with the state when the client reaches this status. */
  until(status: State['status'], timeoutMs?: number): Promise<State>;
  /** The first state with this status, even if it has already ended: a wait may be as short as the random backoff. */
  saw(status: State['status']): Promise<State>;
}

const clients: Client<{ note: number }>[] = [];

function start(options: Partial<ClientOptions>): Started {
  const client = createClient<{ note: number }>({ WebSocket, ...options });
  clients.push(client);
  const states: State[] = [client.state];
  const notes: number[] = [];
  client.subscribe((state) => states.push(state));
  client.on('note', (data) => notes.push(data));
  return {
    client,
    states,
    notes,
    until: (status, timeoutMs = WAIT_MS) =>
      eventually(
        () => {
          if (client.state.status !== status) throw new Error(`not ${status}: ${JSON.stringify(states)}`);
          return client.state;
        },
        { timeoutMs },
      ),
    saw: (status) =>
      eventually(
        () => {
          const seen = states.find((state) => state.status === status);
          if (seen === undefined) throw new Error(`never ${status}: ${JSON.stringify(states)}`);
          return seen;
        },
        { timeoutMs: WAIT_MS },
      ),
  };
}

const statuses = ({ states }: Started): readonly string[] => states.map(({ status }) => status);

/** On Node, a rejection or exception that nobody handles would end a program. */
const unhandled: unknown[] = [];
const note = (error: unknown): void => void unhandled.push(error);
beforeAll(() => void process.on('unhandledRejection', note).on('uncaughtException', note));
afterAll(() => {
  process.off('unhandledRejection', note).off('uncaughtException', note);
  for (const client of clients) client.close();
  expect(unhandled).toEqual([]);
});

const EMBEDDED = COMBINATIONS.filter(({ kind }) => kind === 'embedded');
const deployed = deployEach(EMBEDDED, {
  LINGXI_HEARTBEAT_TIMEOUT_MS: String(TIMEOUT_MS),
  LINGXI_PING_INTERVAL_MS: '600',
});

describe.concurrent.each(EMBEDDED)('the client and a gateway on $runtime', (combination) => {
  let gateway: Gateway;
  beforeAll(() => {
    gateway = deployed(combination).gateway;
  });

  const push = async (user: number, more: object = {}) => {
    const body = { to: { userId: user }, type: 'note', data: 7, ...more };
    const answer = await gateway.service('POST', '/api/messages', body);
    return (answer.body['results'] as readonly Record<string, unknown>[])[0]?.['status'];
  };
  const connections = async (user: number) => {
    const answer = await gateway.service('GET', `/api/users/${user}/connections`);
    return answer.body['connections'] as readonly Record<string, unknown>[];
  };

  describe.concurrent('while it runs', () => {
    it('connects, gets messages with their types, acknowledges, and stays online', async () => {
      const user = freshUser();
      const started = start({ url: gateway.wsUrl, token: gateway.token(user) });
      expect(await started.until('open')).toEqual({ status: 'open', reason: 'connected' });
      expect(await push(user, { ack: true })).toBe('acked');
      await sleep(2 * TIMEOUT_MS);
      expect(await push(user)).toBe('written');
      await eventually(() => expect(started.notes).toEqual([7, 7]));
      expect(statuses(started)).toEqual(['connecting', 'open']);
    });

    it('gets an error frame for a message without a handler', async () => {
      const user = freshUser();
      const started = start({ url: gateway.wsUrl, token: gateway.token(user) });
      const refused: unknown[] = [];
      started.client.on('error', ({ about, code, type }) => refused.push([about, code, type]));
      expect(await started.client.send('chat', { text: 'hello' })).toBe('sent');
      await eventually(() => expect(refused).toEqual([['message', 'unhandled-type', 'chat']]));
    });

    it('sends the token as a header, if the WebSocket supports it', async () => {
      const user = freshUser();
      const started = start({ url: gateway.wsUrl, token: gateway.token(user), auth: 'header' });
      await started.until('open');
      expect(await push(user, { ack: true })).toBe('acked');
    });

    it("uses the protocol of the Go server's clients, and stays online by its pings", async () => {
      const user = freshUser();
      const started = start({
        url: `${gateway.wsUrl}?userId=${user}`,
        token: gateway.token(user),
        protocol: 'seed',
      });
      await started.until('open');
      await sleep(2 * TIMEOUT_MS);
      expect(await push(user)).toBe('written');
      expect(await connections(user)).toMatchObject([{ protocol: 'seed' }]);
      expect(statuses(started)).toEqual(['connecting', 'open']);
    });

    it('if a user has two clients, the older one stays away: no ping-pong', async () => {
      const user = freshUser();
      const options = { url: gateway.wsUrl, token: gateway.token(user) };
      const older = start(options);
      await older.until('open');
      const newer = start(options);
      expect(await older.until('closed')).toEqual({ status: 'closed', reason: 'replaced', code: 4001 });
      await sleep(3_000);
      expect(statuses(newer)).toEqual(['connecting', 'open']);
      expect(await connections(user)).toHaveLength(1);
    });

    it('logs out, and stays away', async () => {
      const user = freshUser();
      const started = start({ url: gateway.wsUrl, token: gateway.token(user) });
      await started.until('open');
      expect(await started.client.logout()).toBe('sent');
      expect(await started.until('closed')).toEqual({ status: 'closed', reason: 'logout', code: 4000 });
      const player = await gateway.service('GET', `/api/online/player/${user}`);
      expect(player.body['status']).toBe('offline');
    });

    it('stays away after a kick, and shows its reason', async () => {
      const user = freshUser();
      const started = start({ url: gateway.wsUrl, token: gateway.token(user) });
      await started.until('open');
      await gateway.service('POST', `/api/users/${user}/disconnect`, { reason: 'cheating' });
      expect(await started.until('closed')).toEqual({ status: 'closed', reason: 'cheating', code: 4002 });
    });

    it('renews the token on the open connection before it expires', async () => {
      const user = freshUser();
      const asked: TokenReason[] = [];
      const started = start({
        url: gateway.wsUrl,
        getToken: ({ reason }) => {
          asked.push(reason);
          // The client renews it when a quarter is left, which is more than a second.
          return gateway.token(user, { expiresInS: 8 });
        },
      });
      await started.until('open');
      await eventually(() => expect(asked.length).toBeGreaterThanOrEqual(3), { timeoutMs: 25_000 });
      // The first token has expired long ago.
      expect(statuses(started)).toEqual(['connecting', 'open']);
      expect(asked[0]).toBe('start');
      expect(asked.slice(1).every((reason) => reason === 'renewal')).toBe(true);
      await sleep(2_000);
      expect(statuses(started)).toEqual(['connecting', 'open']);
      expect(asked.length).toBeLessThanOrEqual(6);
    }, 60_000);

    it('with an expired token it gets a new one and reconnects', async () => {
      const user = freshUser();
      const asked: TokenReason[] = [];
      const started = start({
        url: gateway.wsUrl,
        getToken: ({ reason }) => {
          asked.push(reason);
          if (reason === 'renewal') throw new Error('the session service is down');
          // Long enough to connect beside all other tests.
          return gateway.token(user, { expiresInS: asked.length === 1 ? 5 : 60 });
        },
      });
      await started.until('open');
      const { reason, code } = await started.saw('waiting');
      expect({ reason, code }).toEqual({ reason: 'token-expired', code: 4003 });
      await started.until('open');
      expect(asked.filter((why) => why !== 'renewal')).toEqual(['start', 'expired']);
    });

    it('after a refusal it gets another token, no faster than the backoff, and reports the refusal', async () => {
      const asked: TokenReason[] = [];
      const started = start({
        url: gateway.wsUrl,
        getToken: ({ reason }) => {
          asked.push(reason);
          return 'not.a.token';
        },
      });
      expect(await started.saw('waiting')).toMatchObject({
        reason: 'refused',
        detail: expect.stringContaining('401') as string,
      });
      await eventually(() => expect(asked.slice(0, 2)).toEqual(['start', 'expired']));
      await sleep(2_500);
      expect(asked.length).toBeLessThan(12);
    });

    it.each([
      ['the signature is wrong', 401, () => ({ token: 'not.a.token' })],
      [
        'the address names another user',
        403,
        () => ({ url: `${gateway.wsUrl}?userId=20000`, getToken: () => gateway.token(freshUser()) }),
      ],
    ] as const)('stays away where no token will ever work: %s', async (_case, status, options) => {
      const started = start({ url: gateway.wsUrl, ...options() });
      expect(await started.until('closed')).toMatchObject({
        reason: 'refused',
        detail: `Unexpected server response: ${status}`,
      });
      await sleep(1_500);
      expect(statuses(started)).toEqual(['connecting', 'closed']);
    });

    it('connects with one-time tickets, and reconnects with another', async () => {
      const user = freshUser();
      const asked: TokenReason[] = [];
      const started = start({
        url: gateway.wsUrl,
        auth: 'ticket',
        getToken: async ({ reason }) => {
          asked.push(reason);
          const { body } = await gateway.call('POST', '/api/tickets', { token: gateway.token(user) });
          return String(body['ticket']);
        },
      });
      await started.until('open');
      expect(await push(user, { ack: true })).toBe('acked');
      // A second client of the test replaces it.
      const other = await connect(gateway.wsUrl, { token: gateway.token(user) });
      await started.until('closed');
      started.client.connect();
      await started.until('open');
      expect(asked).toEqual(['start', 'start']);
      other.terminate();
    });

    it('after it was replaced, it reconnects if it is asked to, and the period continues', async () => {
      const user = freshUser();
      const started = start({ url: gateway.wsUrl, token: gateway.token(user) });
      await started.until('open');
      // A second client of the test replaces it and then leaves.
      const before = await connections(user);
      const other = await connect(gateway.wsUrl, { token: gateway.token(user) });
      other.terminate();
      await started.until('closed');
      started.client.connect();
      expect(await started.until('open')).toEqual({ status: 'open', reason: 'resumed' });
      expect((await connections(user))[0]?.['connectionId']).not.toBe(before[0]?.['connectionId']);
    });
  });

  it.sequential('survives a restart of the server: reconnects, and sends the waiting messages', async () => {
    const user = freshUser();
    const started = start({ url: gateway.wsUrl, token: gateway.token(user) });
    await started.until('open');
    await gateway.kill();
    await started.saw('waiting');
    const waiting = started.client.send('state', { value: 'background' });
    await gateway.restart();
    expect(await started.until('open', 15_000)).toMatchObject({ status: 'open' });
    expect(await waiting).toBe('sent');
    await eventually(async () => expect(await connections(user)).toMatchObject([{ state: 'background' }]));
    expect(await push(user)).toBe('written');
  });

  it.sequential('obeys the goodbye of a stopping server', async () => {
    const user = freshUser();
    const started = start({ url: gateway.wsUrl, token: gateway.token(user) });
    await started.until('open');
    const asked: unknown[] = [];
    started.client.on('goodbye', ({ reconnectAfterMs }) => asked.push(reconnectAfterMs));
    await gateway.terminate();
    // The close may be read after the end of the process.
    expect(await started.saw('waiting')).toMatchObject({ reason: 'shutdown', code: 1012 });
    expect(asked).toEqual([expect.any(Number)]);
    await gateway.restart();
    await started.until('open', 15_000);
  });

  it.sequential('notices a frozen server, and reconnects when the server continues', async () => {
    const user = freshUser();
    const started = start({ url: gateway.wsUrl, token: gateway.token(user) });
    await started.until('open');
    gateway.signalAll('SIGSTOP');
    try {
      const state = await started.saw('waiting');
      expect(state.reason).toBe('no-answer');
    } finally {
      gateway.signalAll('SIGCONT');
    }
    await started.until('open', 15_000);
  });
});

/** A program takes seconds to start on a busy machine. */
const PROGRAM_START = { timeoutMs: 20_000 };

describe('a program of its own', () => {
  let folder: ProgramFolder;
  let gateway: Gateway;
  beforeAll(async () => {
    folder = createProgramFolder();
    gateway = await startGateway({ runtime: 'node', stores: 'embedded' });
  });
  afterAll(async () => {
    folder?.remove();
    await gateway?.stop();
  });

  const program = (options: string, imports = ''): string => `${imports}
    import { createClient } from 'lingxi/client';
    import 'lingxi/client/shared';
    const client = createClient(${options});
    client.on('note', (data) => { console.log('note', data); client.close(); });
    client.subscribe(({ status, reason, detail }) => console.log(status, reason, detail ?? ''));`;

  it.each([
    ['node', `import { WebSocket } from 'ws';`, 'WebSocket,'],
    ['bun', '', ''],
    ['bun', `import { WebSocket } from 'ws';`, `WebSocket, auth: 'header',`],
  ] as const)('on %s %s connects, gets a message and ends by itself', async (runtime, imports, extra) => {
    const user = freshUser();
    const options = `{ ${extra} url: ${JSON.stringify(gateway.url)} + '/ws', token: ${JSON.stringify(gateway.token(user))} }`;
    const child = folder.start(runtime, program(options, imports));
    await eventually(async () => {
      const { body } = await gateway.service('POST', '/api/messages', {
        to: { userId: user },
        type: 'note',
        data: 7,
      });
      expect(body['counts'], child.output()).toEqual({ written: 1 });
    }, PROGRAM_START);
    expect((await child.exited).code, child.output()).toBe(0);
    expect(child.output()).toContain('note 7');
    expect(child.output()).toContain('closed closed');
  });

  it.each(['node', 'bun'] as const)('on %s continues while the server is down', async (runtime) => {
    const imports = runtime === 'node' ? `import { WebSocket } from 'ws';` : '';
    const extra = runtime === 'node' ? 'WebSocket,' : '';
    const port = await freePort();
    const options = `{ ${extra} url: 'ws://127.0.0.1:${port}/ws', token: 'x' }`;
    const end = `
      let waits = 0;
      client.subscribe(({ status }) => {
        if (status === 'waiting' && (waits += 1) === 3) setTimeout(() => client.close());
      });`;
    const child = folder.start(runtime, program(options, imports) + end);
    expect((await child.exited).code, child.output()).toBe(0);
    expect(child.output().match(/^waiting connection-lost/gm)?.length).toBe(3);
  });

  it('on Bun ends if no token can ever work, also with the WebSocket of Bun', async () => {
    const options = `{ url: ${JSON.stringify(gateway.wsUrl)}, token: 'not.a.token' }`;
    const child = folder.start('bun', program(options));
    expect((await child.exited).code, child.output()).toBe(0);
    expect(child.output()).toMatch(/^closed refused .*401$/m);
  });

  it('on Node 20 without a WebSocket says what to do', async () => {
    const options = `{ url: 'ws://127.0.0.1:1/ws', token: 'x' }`;
    const child = folder.start('node', `delete globalThis.WebSocket;\n${program(options)}`);
    expect((await child.exited).code).toBe(1);
    expect(child.output()).toContain('no WebSocket');
  });
});
