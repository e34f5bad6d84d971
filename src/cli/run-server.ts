import type { LoadedConfig } from '../config/load.ts';
import type { Gateway } from '../create-gateway.ts';
import { createGateway } from '../create-gateway.ts';
import type { Log } from '../logging/log.ts';
import { createLog } from '../logging/pino-log.ts';
import { bannerLines } from './banner.ts';
import { type Cli, fail } from './cli.ts';

/**
 * A signal to a whole process group (Ctrl-C, a service manager) reaches the server directly and again from its
 * launcher; both within this time are one.
 */
const SAME_SIGNAL_MS = 250;
/** What a stop may take beyond the drain timeout before the process gives up on it. */
const STOP_GRACE_MS = 2000;

/** Runs the gateway until a signal ends it. */
export async function runServer(cli: Cli, loaded: LoadedConfig): Promise<void> {
  const log = createLog({ level: loaded.config.logLevel, pretty: cli.isTerminal });
  const stopper = new Stopper(cli, log, loaded.config.drainTimeoutMs);
  stopper.listen();
  const { config, notices } = loaded;
  for (const { variable, value, risk } of notices) {
    log.warn({ event: 'config', variable, value }, `${variable} = ${value}: ${risk}`);
  }
  const started = await createGateway({ config, log });
  if (!started.ok) {
    fail(cli, started.error.message);
    process.exit(1);
  }
  await stopper.hold(started.value);
  announce(cli, { loaded, log, gateway: started.value });
}

function announce(cli: Cli, running: { loaded: LoadedConfig; log: Log; gateway: Gateway }): void {
  const { loaded, log, gateway } = running;
  if (loaded.config.environment === 'development') {
    // Without a terminal standard output is for log lines alone.
    const banner = bannerLines(loaded, gateway, cli.isTerminal).join('\n');
    if (cli.isTerminal) cli.out(banner);
    else cli.error(banner);
    if (cli.isTerminal) return;
  }
  for (const { variable, path } of loaded.newSecrets) {
    log.info({ event: 'config', variable, file: path }, `made ${variable} and kept it in ${path}`);
  }
  const { port, urls } = gateway;
  log.info({ event: 'started', port, urls }, `listening on ${urls.join(', ')}`);
}

/** Everything that ends the process. */
class Stopper {
  readonly #cli: Cli;
  readonly #log: Log;
  readonly #drainTimeoutMs: number;
  #gateway: Gateway | undefined;
  #stopping: { readonly signal: string; readonly at: number } | undefined;

  constructor(cli: Cli, log: Log, drainTimeoutMs: number) {
    this.#cli = cli;
    this.#log = log;
    this.#drainTimeoutMs = drainTimeoutMs;
  }

  listen(): void {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
      process.on(signal, () => this.#onSignal(signal));
    }
    process.on('uncaughtException', (error) => this.#crash(error, 'uncaught exception'));
    process.on('unhandledRejection', (error) => this.#crash(error, 'unhandled rejection'));
    // The launcher that started this process holds the other end; with it killed, nobody would stop us.
    process.on('disconnect', () => process.exit(1));
  }

  /** Takes the running gateway; a signal may have come while it started. */
  async hold(gateway: Gateway): Promise<void> {
    this.#gateway = gateway;
    if (this.#stopping !== undefined) await this.#stop(gateway);
  }

  #onSignal(signal: string): void {
    const at = this.#cli.clock.monotonic();
    const first = this.#stopping;
    if (first !== undefined) {
      if (first.signal === signal && at - first.at < SAME_SIGNAL_MS) return;
      process.exit(1);
    }
    this.#stopping = { signal, at };
    if (this.#gateway !== undefined) void this.#stop(this.#gateway);
  }

  async #stop(gateway: Gateway): Promise<void> {
    const limit = this.#drainTimeoutMs + STOP_GRACE_MS;
    this.#cli.clock.after(limit, () => {
      this.#log.error({ event: 'stopped', afterMs: limit }, 'the drain did not end in time');
      process.exit(1);
    });
    try {
      await gateway.stop();
    } catch (error) {
      this.#crash(error, 'the stop failed');
    }
    process.exit(0);
  }

  #crash(error: unknown, what: string): never {
    this.#log.error({ event: 'internal-error', err: error }, what);
    process.exit(1);
  }
}
