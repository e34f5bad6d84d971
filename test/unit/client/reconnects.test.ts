import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Connection } from '../../../src/client/client.ts';
import type { SendOutcome, State } from '../../../src/client/types.ts';
import { settle, type TestSocket, tokenUntil, World } from './world.ts';

/** Events of a client, in any order. */
type Step =
  | { readonly do: 'advance' | 'stall' | 'step'; readonly ms: number }
  | { readonly do: 'close'; readonly code: number }
  | { readonly do: 'text' | 'fail'; readonly text: string }
  | { readonly do: 'page'; readonly event: string }
  | {
      readonly do: 'accept' | 'welcome' | 'goodbye' | 'send' | 'connect' | 'end' | 'token' | 'stale' | 'ack';
    };

const steps: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('advance' as const), ms: fc.integer({ min: 0, max: 9_000 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('stall' as const), ms: fc.integer({ min: 0, max: 120_000 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('step' as const),
      ms: fc.integer({ min: -7_200_000, max: 7_200_000 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('close' as const),
      code: fc.constantFrom(1000, 1006, 1012, 4000, 4001, 4003, 4006, 4100, 4101, 4110),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('fail' as const),
      text: fc.constantFrom('status: 401', 'status: 403', 'status: 503', 'ECONNREFUSED'),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('text' as const),
      text: fc.oneof(
        fc.string(),
        fc.json(),
        fc.constantFrom(
          '{"type":"welcome","data":7}',
          '{"type":"goodbye"}',
          '{"type":"error","data":{"about":"token"}}',
          '{"type":"token","data":{"expiresAt":0}}',
        ),
      ),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('page' as const),
      event: fc.constantFrom('online', 'pageshow', 'pagehide', 'resume', 'hide', 'show'),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constantFrom(
        'accept',
        'welcome',
        'welcome',
        'goodbye',
        'send',
        'connect',
        'end',
        'token',
        'stale',
        'ack',
      ),
    }),
  },
);

/** One client and its world, with a server that answers every ping at once. */
class Play {
  readonly world = new World();
  readonly client: Connection;
  readonly states: State[] = [];
  readonly outcomes: Promise<SendOutcome>[] = [];
  #asked = 0;

  constructor(withGetToken: boolean) {
    const { world } = this;
    const getToken = (): Promise<string> => {
      this.#asked += 1;
      if (this.#asked % 5 === 4) return Promise.reject(new Error('no'));
      if (this.#asked % 5 === 3) return new Promise(() => undefined);
      return Promise.resolve(tokenUntil(world.clock.now() + 20_000));
    };
    this.client = new Connection(withGetToken ? { getToken } : { token: 'secret' }, world.env);
    this.client.subscribe((state) => {
      this.states.push(state);
    });
    this.client.on('note', () => {
      throw new Error('a bug of the page');
    });
    this.client.connect();
  }

  get socket(): TestSocket | undefined {
    return this.world.sockets.at(-1);
  }

  step(step: Step): void {
    const { world, socket, client } = this;
    if (socket)
      socket.answer = ({ type }) => {
        if (type === 'ping') socket.pong();
      };
    switch (step.do) {
      case 'advance':
        return world.clock.advance(step.ms);
      case 'stall':
        return world.clock.stall(step.ms);
      case 'step':
        return world.clock.stepWall(step.ms);
      case 'close':
        return socket?.end(step.code, 'why');
      case 'text':
        return socket?.text(step.text);
      case 'fail':
        return socket?.fail(step.text);
      case 'page':
        if (step.event === 'hide') return world.hide();
        return step.event === 'show' ? world.show() : world.fire(step.event);
      case 'accept':
        return socket?.accept();
      case 'welcome':
        return socket?.welcome();
      case 'goodbye':
        return socket?.message('goodbye', { reconnectAfterMs: 700 });
      case 'send':
        this.outcomes.push(client.send('note', 1));
        return;
      case 'connect':
        return client.connect();
      case 'end':
        return client.close();
      case 'token':
        return socket?.message('token', { expiresAt: world.clock.now() + 9_000 });
      case 'ack':
        return socket?.message('note', 1, { id: 'x' });
      case 'stale':
        // Sockets that the client has left still send events.
        for (const old of world.sockets.slice(0, -1)) {
          old.message('welcome', { pingIntervalMs: 500 });
          old.message('note', 1, { id: 'old' });
          old.end(4001, 'replaced');
        }
    }
  }

  check(): void {
    const { world, client } = this;
    const { status } = client.state;
    const living = world.sockets.filter(({ isClosed }) => !isClosed);
    expect(living.length).toBeLessThanOrEqual(1);
    if (living.length === 1) expect(living[0]).toBe(this.socket);
    for (const socket of world.sockets) expect(socket.afterlife).toEqual([]);
    // A waiting client has one timer. A connection has its heartbeat, an answer, a renewal and the queue.
    const most = { closed: 0, paused: 0, waiting: 1, connecting: 1, open: 4 }[status];
    expect(world.timers).toBeLessThanOrEqual(most);
    if (status === 'waiting') expect(world.timers).toBe(1);
    if (status === 'closed') expect(world.listeners()).toBe(0);
    if (status === 'open') expect(living).toHaveLength(1);
  }
}

const unhandled: unknown[] = [];
const note = (error: unknown) => void unhandled.push(error);
beforeAll(() => void process.on('unhandledRejection', note));
afterAll(() => void process.off('unhandledRejection', note));

describe('whatever happens to a client', () => {
  it('has one socket, no timer of an old one, never throws, and reports the outcome of each message', async () => {
    await fc.assert(
      fc.asyncProperty(fc.boolean(), fc.array(steps, { maxLength: 60 }), async (withGetToken, story) => {
        const play = new Play(withGetToken);
        for (const step of story) {
          play.step(step);
          await settle();
          play.check();
        }
        play.client.close();
        play.check();
        expect(play.world.timers).toBe(0);
        const outcomes = await Promise.all(play.outcomes);
        expect(outcomes.every((outcome) => ['sent', 'closed', 'queue-full'].includes(outcome))).toBe(true);
        const bugs = play.world.reported.filter((error) => !String(error).includes('a bug of the page'));
        expect(bugs).toEqual([]);
      }),
      { numRuns: 400 },
    );
    expect(unhandled).toEqual([]);
  });

  it('a connection with an answering server stays, whatever ended the earlier ones', async () => {
    await fc.assert(
      fc.asyncProperty(fc.boolean(), fc.array(steps, { maxLength: 40 }), async (withGetToken, story) => {
        const play = new Play(withGetToken);
        for (const step of story) {
          play.step(step);
          await settle();
        }
        const { world, client } = play;
        // From now on the server and the network work.
        world.show();
        world.fire('pageshow');
        client.connect();
        const isOpen = (): boolean => client.state.status === 'open';
        for (let tries = 0; !isOpen() && tries < 150; tries += 1) {
          if (play.socket?.isClosed === false) play.step({ do: 'welcome' });
          await settle();
          if (!isOpen()) world.clock.advance(1_000);
          await settle();
        }
        expect(isOpen()).toBe(true);
        const { socket } = play;
        const after = play.states.length;
        for (let second = 0; second < 60; second += 1) {
          world.clock.advance(1_000);
          await settle();
          if (second % 7 === 0) world.fire('online');
          if (second % 5 === 0) play.step({ do: 'stale' });
        }
        expect(play.states.slice(after)).toEqual([]);
        expect(play.socket).toBe(socket);
      }),
      { numRuns: 150 },
    );
  });
});
