import { randomBytes } from 'node:crypto';
import { type GatewayCall, type GatewayOptions, readGatewayOptions } from './create-config.ts';
import { createPresenceStore } from './create-presence.ts';
import { warnOfSurroundings } from './create-warnings.ts';
import { bunRuntime } from './gateway/bun-types.ts';
import { ListenError } from './gateway/gateway-server.ts';
import { Assembly, type Gateway, type Parts } from './gateway-assembly.ts';
import { ObservedTime } from './heartbeat/observed-time.ts';
import { guardedClock } from './lib/clock.ts';
import { err, type Result } from './lib/result.ts';
import { countingErrors, logInternalError } from './logging/internal-error.ts';
import { Counters } from './metrics/counters.ts';
import { newId } from './random-ids.ts';
import { ownUserStore } from './settlement/own-user-store.ts';
import { describeError } from './settlement/sql-errors.ts';
import { StopList } from './stop-list.ts';

/**
 * Joins all modules to a gateway and starts it on the present runtime. It never throws. A wrong call, a port in use or an
 * unreachable store gives one sentence that says what to do.
 */
export async function createGateway(options: GatewayOptions): Promise<Result<Gateway, { message: string }>> {
  try {
    const call = readGatewayOptions(options);
    return call.ok ? await openGateway(call.value) : call;
  } catch (error) {
    return err({ message: `The gateway cannot start: ${describeError(error)}` });
  }
}

async function openGateway(call: GatewayCall): Promise<Result<Gateway, { message: string }>> {
  const { config, origins, clock: real, kill } = call;
  const counters = new Counters();
  const log = countingErrors(call.log, {
    counts: counters.internalErrors,
    monotonic: () => real.monotonic(),
  });
  const clock = guardedClock(real, (error) => logInternalError(log, { where: 'timer', error }));
  const node = `${config.nodeName}:${clock.now().toString(36)}${randomBytes(3).toString('hex')}`;
  const time = new ObservedTime(clock, (ms) => {
    counters.stallCreditedMs += ms;
    log.warn(
      { event: 'stall-credited', ms: Math.round(ms) },
      'time passed that nobody could observe: all deadlines moved by it',
    );
  });
  const users = await ownUserStore(config);
  if (!users.ok) return users;
  const running = new StopList(log);
  running.started('user store', () => users.value.close());
  try {
    warnOfSurroundings(config, log);
    const modules = { config, origins, clock, time, node, log, counters, newId, users: users.value };
    const presence = await createPresenceStore(modules).catch((error: unknown) =>
      err({ message: `The periods left open cannot be read: ${describeError(error)}` }),
    );
    if (presence.ok) {
      running.started('presence store', () => presence.value.store.close());
      const createServer = await serverOfRuntime();
      const parts = { ...modules, presence: presence.value, running, createServer, kill };
      return await new Assembly(parts).start();
    }
    await running.stop();
    return presence;
  } catch (error) {
    await running.stop();
    const message = error instanceof ListenError ? error.message : undefined;
    return err({ message: message ?? `The gateway cannot start: ${describeError(error)}` });
  }
}

/** Loads only the server for the present runtime: the one for Node brings packages that Bun does not use. */
async function serverOfRuntime(): Promise<Parts['createServer']> {
  if (bunRuntime() !== undefined) return (await import('./gateway/bun-server.ts')).createBunServer;
  return (await import('./gateway/node-server.ts')).createNodeServer;
}
