import type { Config } from '../config/config.ts';
import type { LoadedConfig } from '../config/load.ts';
import { createGateway } from '../create-gateway.ts';
import { Game } from '../game/game.ts';
import type { Gateway } from '../gateway-assembly.ts';
import { guardedClock, systemClock } from '../lib/clock.ts';
import { logInternalError } from '../logging/internal-error.ts';
import type { Log } from '../logging/log.ts';
import { createLog, type ProcessLog } from '../logging/pino-log.ts';
import { bannerLines, runtimeName, storeNames } from './banner.ts';
import { type Cli, fail } from './cli.ts';

/**
 * A signal to a whole process group (Ctrl-C, a service manager, a closed terminal) reaches the server directly and again
 * from its launcher, which may send another one. All signals within this time count as one.
 */
const SAME_SIGNAL_MS = 250;
const STOP_SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;
/** A stop may take this long beyond the shutdown delay and the drain timeout. Then the process gives up on it. */
const STOP_GRACE_MS = 2000;
/** The exit waits this long for a slow reader of the log. */
const LOG_GRACE_MS = 1000;

/** Runs the gateway until a signal ends it. */
export async function runServer(cli: Cli, loaded: LoadedConfig): Promise<void> {
  const log = createLog({ level: loaded.config.logLevel, pretty: cli.isTerminal });
  const stopper = new Stopper(cli, log, loaded.config);
  stopper.listen();
  const { notices } = loaded;
  for (const { variable, value, risk } of notices) {
    log.warn({ event: 'config', variable, value }, `${variable} = ${value}: ${risk}`);
  }
  const started = await createGateway({ config: loaded, log, kill: () => killed(cli) });
  if (!started.ok) {
    fail(cli, started.error.message);
    process.exit(1);
  }
  await stopper.hold(started.value);
  if (loaded.config.environment === 'development')
    startGame({ loaded, log, gateway: started.value, stopper });
  announce(cli, { loaded, log, gateway: started.value });
}

/** The back end of the demo game. It uses the gateway like any program that embeds it. */
function startGame(running: { loaded: LoadedConfig; log: Log; gateway: Gateway; stopper: Stopper }): void {
  const { loaded, log, gateway, stopper } = running;
  const { dataDir } = loaded.config;
  const clock = guardedClock(systemClock(), (error) => logInternalError(log, { where: 'timer', error }));
  const game = new Game(gateway, { clock, log, random: Math.random, dataDir });
  game.start();
  stopper.before(() => game.stop());
}

/** Ends the process as a crash does. It first prints how to go on, because nothing can print that afterwards. */
function killed(cli: Cli): void {
  cli.error(
    '\n  The demo page killed this node, as `kill -9` would. Start it again as you started it (npm start)\n',
  );
  process.kill(process.pid, 'SIGKILL');
}

function announce(cli: Cli, running: { loaded: LoadedConfig; log: Log; gateway: Gateway }): void {
  const { loaded, log, gateway } = running;
  if (loaded.config.environment === 'development') {
    // Without a terminal, standard output has log lines only.
    const banner = bannerLines(loaded, gateway, cli.isTerminal).join('\n');
    if (cli.isTerminal) cli.out(banner);
    else cli.error(banner);
    if (cli.isTerminal) return;
  }
  for (const { variable, path } of loaded.newSecrets) {
    log.info({ event: 'config', variable, file: path }, `made ${variable} and kept it in ${path}`);
  }
  const { port, urls, version, node } = gateway;
  const runtime = runtimeName();
  const stores = storeNames(loaded.config);
  log.info(
    { event: 'started', version, runtime, node, ...stores, port, urls },
    `Lingxi ${version} on ${runtime} is listening on ${urls.join(', ')}`,
  );
}

/** All events that end the process. */
class Stopper {
  readonly #cli: Cli;
  readonly #log: ProcessLog;
  readonly #stopTimeoutMs: number;
  #gateway: Gateway | undefined;
  #before: () => Promise<void> = async () => {};
  /** Monotonic ms of the first signal. */
  #stoppingSince: number | undefined;

  constructor(cli: Cli, log: ProcessLog, config: Pick<Config, 'shutdownDelayMs' | 'drainTimeoutMs'>) {
    this.#cli = cli;
    this.#log = log;
    this.#stopTimeoutMs = config.shutdownDelayMs + config.drainTimeoutMs + STOP_GRACE_MS;
  }

  listen(): void {
    for (const signal of STOP_SIGNALS) process.on(signal, () => this.#onSignal());
    process.on('uncaughtException', (error) => this.#crash(error, 'uncaught exception'));
    // The function that rejected ended in an orderly way, like a guarded function that threw. So the server continues.
    process.on('unhandledRejection', (error) => {
      if (this.#gateway === undefined) this.#crash(error, 'unhandled rejection');
      else this.#gateway.rejected(error);
    });
    // The launcher of this process has the other end of this channel. If the launcher is killed, nothing else would stop this
    // process.
    process.on('disconnect', () => process.exit(1));
  }

  /** Receives the running gateway. A signal may have come while it started. */
  async hold(gateway: Gateway): Promise<void> {
    this.#gateway = gateway;
    if (this.#stoppingSince !== undefined) await this.#stop(gateway);
  }

  /** Work to do before the gateway stops. */
  before(work: () => Promise<void>): void {
    this.#before = work;
  }

  #onSignal(): void {
    const now = this.#cli.clock.monotonic();
    if (this.#stoppingSince !== undefined) {
      if (now - this.#stoppingSince < SAME_SIGNAL_MS) return;
      process.exit(1);
    }
    this.#stoppingSince = now;
    if (this.#gateway !== undefined) void this.#stop(this.#gateway);
  }

  async #stop(gateway: Gateway): Promise<void> {
    const limit = this.#stopTimeoutMs;
    this.#cli.clock.after(limit, () => {
      this.#log.error({ event: 'stopped', afterMs: limit }, 'the drain did not end in time');
      void this.#exit(1);
    });
    try {
      await this.#before();
      await gateway.stop();
    } catch (error) {
      return this.#crash(error, 'the stop failed');
    }
    await this.#exit(0);
  }

  #crash(error: unknown, what: string): void {
    this.#log.error({ event: 'internal-error', err: error }, what);
    void this.#exit(1);
  }

  /** Bun drops a write in progress at the exit. That would lose the last line, which has the cause of the end. */
  async #exit(code: number): Promise<void> {
    this.#cli.clock.after(LOG_GRACE_MS, () => process.exit(code));
    await this.#log.flushed();
    process.exit(code);
  }
}
