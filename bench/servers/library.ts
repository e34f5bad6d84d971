// The measured process: a program that embeds the gateway and sends through the library. It runs on either runtime.
import { rmSync } from 'node:fs';
import { atPace } from '../../src/cli/bench/pace.ts';
import type * as Lingxi from '../../src/index.ts';
import { type Spent, spending, wallMicros } from '../clock.ts';
import { serveCommands } from '../commands.ts';

export interface Sent extends Spent {
  /** Number of messages to send, one per receiver. */
  readonly asked: number;
  /** Number of messages that a socket or its queue accepted. */
  readonly taken: number;
}

export interface Broadcasting {
  readonly times: number;
  readonly everyMs: number;
  readonly seconds: number;
  /** Users who get separate messages in the same time, at this rate. */
  readonly others: { readonly first: number; readonly users: number; readonly perSecond: number };
}

const [dataDir = '.'] = process.argv.slice(2);
const MESSAGES_PER_TURN = 64;

const { createGateway, loadConfig, silentLog } = (await import(
  new URL('../../dist/index.js', import.meta.url).href
)) as typeof Lingxi;
const started = await createGateway({ config: loadConfig({ cwd: dataDir }), log: silentLog });
if (!started.ok) {
  process.stderr.write(`${started.error.message}\n`);
  process.exit(1);
}
const { manager, port } = started.value;

/** Sends one message to one user; returns how many connections accepted it. */
function sendTo(userId: number, at: number): number {
  const { status } = manager.sendToUser(userId, 'note', { at, text: 'hello' });
  return status === 'written' || status === 'queued' ? 1 : 0;
}

const anyOf = (first: number, users: number): number => first + Math.floor(Math.random() * users);
const wall = (intendedAt: number): number => Math.round((performance.timeOrigin + intendedAt) * 1000);

const commands = {
  port: () => ({ port, connections: manager.connectionCount }),
  /** As fast as the process can. */
  async flood({ users, seconds }: { readonly users: number; readonly seconds: number }): Promise<Sent> {
    let [asked, taken] = [0, 0];
    const spent = spending();
    const end = performance.now() + seconds * 1000;
    while (performance.now() < end) {
      for (let sent = 0; sent < MESSAGES_PER_TURN; sent += 1) taken += sendTo(anyOf(1, users), wallMicros());
      asked += MESSAGES_PER_TURN;
      await new Promise((resolve) => setImmediate(resolve));
    }
    return { asked, taken, ...spent() };
  },
  /** At a steady rate. Each message contains its due time. */
  async steady(plan: {
    readonly users: number;
    readonly seconds: number;
    readonly perSecond: number;
  }): Promise<Sent> {
    let taken = 0;
    const spent = spending();
    const asked = await atPace(plan.perSecond, plan.seconds, (intendedAt) => {
      taken += sendTo(anyOf(1, plan.users), wall(intendedAt));
    });
    return { asked, taken, ...spent() };
  },
  /** Broadcasts to all users, and sends to a few users at the same time. The messages to these few are not counted. */
  async broadcast({ times, everyMs, seconds, others }: Broadcasting): Promise<Sent> {
    const spent = spending();
    let asked = 0;
    const dispatched: ReturnType<typeof manager.broadcast>[] = [];
    const broadcasts =
      times === 0
        ? Promise.resolve(0)
        : atPace(1000 / everyMs, (times * everyMs) / 1000, () => {
            asked += manager.onlineCount();
            dispatched.push(manager.broadcast('notice', { text: 'hello' }));
          });
    const sends = atPace(others.perSecond, seconds, (intendedAt) => {
      sendTo(anyOf(others.first, others.users), wall(intendedAt));
    });
    await Promise.all([broadcasts, sends]);
    let taken = 0;
    for (const each of dispatched) {
      const report = await each;
      taken += (report?.counts.written ?? 0) + (report?.counts.queued ?? 0);
    }
    return { asked, taken, ...spent() };
  },
};

export type LibraryCommands = typeof commands;

serveCommands(commands, () => rmSync(dataDir, { recursive: true, force: true }));
