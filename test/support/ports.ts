import { connect, createServer } from 'node:net';

/** A TCP port of the loopback address that is free at this moment. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  await new Promise<void>((resolve) => server.close(() => resolve()));
  if (address === null || typeof address === 'string') throw new Error('no port was given');
  return address.port;
}

/** Resolves once something accepts connections on `port`; rejects after `timeoutMs` or once `gaveUp` says why. */
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
    { timeoutMs, intervalMs: 20 },
  );
}

/** An error that {@link eventually} does not try again. */
export class Aborted extends Error {}

/** Repeats `check` until it does not throw; after `timeoutMs` the last error is thrown. */
export async function eventually<T>(
  check: () => T | Promise<T>,
  options: { readonly timeoutMs?: number; readonly intervalMs?: number } = {},
): Promise<T> {
  const deadline = performance.now() + (options.timeoutMs ?? 5_000);
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (error instanceof Aborted || performance.now() >= deadline) throw error;
    }
    await sleep(options.intervalMs ?? 25);
  }
}

/** Never sooner than `ms` by `performance.now()`: a timer counts from when its loop last looked at the clock. */
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
