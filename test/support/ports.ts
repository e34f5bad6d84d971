import { connect, createServer, type Server } from 'node:net';

/*
 * The kernel gives a port that nobody listens on to the next program that asks for any, also while the server of a test is
 * down and its clients try to reach it. So tests take ports from below those that the kernel gives, and each process has
 * a block of its own. A listener on the first port of the block keeps other processes out of it for as long as it lives.
 */
const FIRST_BLOCK = 10_240;
/** Linux gives ports from 32,768 on, and a server of a Redis Cluster also listens 10,000 ports above its own. */
const END_OF_BLOCKS = 20_224;
const BLOCK_SIZE = 256;
const BLOCKS = (END_OF_BLOCKS - FIRST_BLOCK) / BLOCK_SIZE;

let block: Promise<number> | undefined;
let taken = 0;

/** A TCP port of the loopback address where nothing listens; no other caller gets it for the next 255 calls. */
export async function freePort(): Promise<number> {
  block ??= takeBlock();
  const first = await block;
  for (let tries = 0; tries < BLOCK_SIZE; tries += 1) {
    taken += 1;
    const port = first + 1 + (taken % (BLOCK_SIZE - 1));
    const listener = await listen(port);
    if (listener === undefined) continue;
    await new Promise<void>((resolve) => listener.close(() => resolve()));
    return port;
  }
  throw new Error(`all ports from ${first} to ${first + BLOCK_SIZE - 1} of 127.0.0.1 are in use`);
}

async function takeBlock(): Promise<number> {
  const offset = Math.floor(Math.random() * BLOCKS);
  for (let index = 0; index < BLOCKS; index += 1) {
    const first = FIRST_BLOCK + ((offset + index) % BLOCKS) * BLOCK_SIZE;
    const guard = await listen(first);
    if (guard === undefined) continue;
    guard.unref();
    return first;
  }
  throw new Error(`no ${BLOCK_SIZE} ports between ${FIRST_BLOCK} and ${END_OF_BLOCKS} of 127.0.0.1 are free`);
}

/** Undefined if a program already listens there. */
function listen(port: number): Promise<Server | undefined> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE' || error.code === 'EACCES') resolve(undefined);
      else reject(error);
    });
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}

/** Resolves when a program accepts connections on `port`. Rejects after `timeoutMs`, or when `gaveUp` returns a reason. */
export async function waitForPort(
  port: number,
  timeoutMs: number,
  gaveUp: () => string | undefined,
): Promise<void> {
  await eventually(
    async () => {
      const reason = gaveUp();
      if (reason !== undefined) throw new Aborted(reason);
      if (!(await accepts(port))) throw new Error(`nothing listens on port ${port}`);
    },
    { timeoutMs },
  );
}

/** An error that {@link eventually} does not retry. */
export class Aborted extends Error {}

/** Long enough for a process that starts beside others. A rule with a time needs a limit of its own. */
const PATIENCE_MS = 15_000;

/** A look may come this much later than the event: a share of the wait so far, up to `LONGEST_PAUSE_MS`. */
const LATE_SHARE = 0.1;
const SHORTEST_PAUSE_MS = 25;
const LONGEST_PAUSE_MS = 250;

/**
 * Repeats `check` until it does not throw; after `timeoutMs` (15 s) the last error is thrown. In a long wait it looks less often,
 * because each look costs time that the tests beside it need. A caller that measures the wait gives `intervalMs`.
 */
export async function eventually<T>(
  check: () => T | Promise<T>,
  options: { readonly timeoutMs?: number; readonly intervalMs?: number } = {},
): Promise<T> {
  const { timeoutMs = PATIENCE_MS, intervalMs } = options;
  const began = performance.now();
  for (;;) {
    const isLast = performance.now() - began >= timeoutMs;
    try {
      return await check();
    } catch (error) {
      if (error instanceof Aborted || isLast) throw error;
    }
    const waited = performance.now() - began;
    const pause = intervalMs ?? Math.min(Math.max(SHORTEST_PAUSE_MS, waited * LATE_SHARE), LONGEST_PAUSE_MS);
    await sleep(Math.min(pause, timeoutMs - waited));
  }
}

/** Never earlier than `ms` by `performance.now()`: a timer counts from the last time reading of its loop. */
export async function sleep(ms: number): Promise<void> {
  const until = performance.now() + ms;
  for (let left = ms; left > 0; left = until - performance.now())
    await new Promise((resolve) => setTimeout(resolve, Math.ceil(left)));
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
