import type { Gateway, LogLine, Runtime } from '../gateway-process.ts';
import { sleep } from '../ports.ts';
import { type Deployment, deploy, KNOWN_USERS } from '../stores.ts';
import { startWitness, type Witness } from '../witness.ts';
import type { Users } from './handshakes.ts';
import { LoopWatch } from './loop-watch.ts';

/** A forbidden behaviour of the product. */
export interface Trouble {
  readonly what: 'exit' | 'hang' | 'stall' | 'witness closed' | 'internal-error' | 'wrong answer';
  readonly detail: string;
  readonly waitedMs?: number;
}

export interface StageOptions {
  readonly runtime: Runtime;
  /** A wait of the witness up to this length is not a finding, in ms. */
  readonly stallMs: number;
  readonly maxMessageBytes: number;
}

/** A process that gives no answer for this long hangs permanently. */
const HANG_MS = 15_000;
const HEALTH_MS = 3_000;
/** Time from the last line of a process to its end. */
const EXIT_MS = 500;
/** Within this time, the stall of a case becomes visible. */
const AFTER_MS = 60;
/** Largest number of characters of a log line in a report. */
const SHOWN_CHARS = 400;
/** The first users are for witnesses. */
export const ATTACKERS: Users = { first: 1_001, last: KNOWN_USERS };

/** The product as a process on real stores, with a witness beside the attack. */
export class Stage {
  readonly deployment: Deployment;
  readonly stallMs: number;
  /** Longest wait of any witness so far, in ms, without the stalls of this program. */
  worstMs = 0;
  /** How often the process had to be restarted. */
  restarts = 0;
  #witness: Witness;
  #linesRead = 0;
  readonly #loop = new LoopWatch();

  private constructor(deployment: Deployment, witness: Witness, stallMs: number) {
    this.deployment = deployment;
    this.#witness = witness;
    this.stallMs = stallMs;
  }

  static async open({ runtime, stallMs, maxMessageBytes }: StageOptions): Promise<Stage> {
    const env = {
      LINGXI_MAX_MESSAGE_BYTES: String(maxMessageBytes),
      // Other tests check the rate. Here it would hide other behaviour.
      LINGXI_MAX_MESSAGES_PER_SECOND: '1000000',
      LINGXI_HEARTBEAT_TIMEOUT_MS: '3000',
    };
    const deployment = await deploy({ runtime, kind: 'redis+postgres', env });
    return new Stage(deployment, await startWitness(deployment.gateway), stallMs);
  }

  get gateway(): Gateway {
    return this.deployment.gateway;
  }

  get witness(): Witness {
    return this.#witness;
  }

  get witnessUser(): number {
    return Number(this.#witness.client.messages[0]?.userId);
  }

  /** The events since the last call. The measurement of waits begins again. */
  async look(): Promise<Trouble | undefined> {
    const waited = Math.round(this.#witness.worstMs() - this.#loop.takeWorst());
    const errors = this.#newErrors();
    // The line of an uncaught exception comes just before the end.
    if (errors.length > 0) await Promise.race([this.#witness.client.closed, sleep(EXIT_MS)]);
    const closed = this.#witness.closed();
    if (closed !== undefined) {
      if (await this.#isAlive()) return { what: 'witness closed', detail: `${closed.code} ${closed.reason}` };
      return { what: 'exit', detail: this.#lastWords() };
    }
    if (waited > this.stallMs) {
      // The length of a wait is known only after its end.
      const isOver = await this.#answersAgain();
      const whole = Math.max(waited, Math.round(this.#witness.worstMs() - this.#loop.takeWorst()));
      if (this.#witness.closed() !== undefined) return this.look();
      this.#note(whole);
      const detail = `the witness waited ${whole} ms`;
      return { what: isOver ? 'stall' : 'hang', detail, waitedMs: whole };
    }
    this.#note(waited);
    const [first] = errors;
    return first === undefined ? undefined : { what: 'internal-error', detail: inWords(first) };
  }

  /** Checks only the newest case, and waits until its effect is visible. */
  async lookAfter(play: () => Promise<unknown>): Promise<Trouble | undefined> {
    this.#witness.forget();
    this.#loop.takeWorst();
    await play();
    await sleep(AFTER_MS);
    return this.look();
  }

  /** Repairs everything after a fault: the process, and the witness. */
  async recover(trouble: Trouble): Promise<void> {
    if (trouble.what === 'exit' || trouble.what === 'hang') {
      this.#witness.stop();
      await this.gateway.restart();
      this.restarts += 1;
      this.#linesRead = 0;
    } else if (trouble.what !== 'witness closed') return;
    else this.#witness.stop();
    this.#witness = await startWitness(this.gateway);
    this.#loop.takeWorst();
  }

  async stop(): Promise<void> {
    this.#loop.stop();
    this.#witness.stop();
    await this.deployment.stop();
  }

  #note(waitedMs: number): void {
    this.worstMs = Math.max(this.worstMs, waitedMs);
    this.#witness.forget();
  }

  /** Waits until the witness gets a message or is closed. False if neither happens. */
  async #answersAgain(): Promise<boolean> {
    const { client } = this.#witness;
    const before = client.messages.length;
    const deadline = performance.now() + HANG_MS;
    while (client.messages.length === before && this.#witness.closed() === undefined) {
      if (performance.now() > deadline) return false;
      await sleep(5);
    }
    return true;
  }

  async #isAlive(): Promise<boolean> {
    try {
      const response = await fetch(`${this.gateway.url}/healthz`, { signal: AbortSignal.timeout(HEALTH_MS) });
      return response.ok;
    } catch {
      return false;
    }
  }

  #newErrors(): readonly LogLine[] {
    const lines = this.gateway.logs();
    const fresh = lines.slice(this.#linesRead).filter(({ event }) => event === 'internal-error');
    this.#linesRead = lines.length;
    return fresh;
  }

  #lastWords(): string {
    const crash = this.gateway.logs().findLast(({ event }) => event === 'internal-error');
    return crash === undefined ? this.gateway.printed().slice(-SHOWN_CHARS) : inWords(crash);
  }
}

function inWords(line: LogLine): string {
  const error = (line['err'] ?? line['error'] ?? {}) as {
    readonly stack?: unknown;
    readonly message?: unknown;
  };
  const stack = String(error.stack ?? error.message ?? '')
    .split('\n')
    .slice(0, 4)
    .map((text) => text.trim());
  return `${String(line['msg'])}: ${stack.join(' ')}`.slice(0, SHOWN_CHARS);
}
