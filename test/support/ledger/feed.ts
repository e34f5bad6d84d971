import { pause } from './player.ts';
import type { Site } from './site.ts';

export interface FeedEvent {
  readonly cursor: string;
  readonly userId: number;
  readonly type: 'online' | 'offline';
  readonly at: number;
  readonly period: number;
  readonly reason: string | undefined;
}

const READ_EVERY_MS = 300;
const PAGE = 1_000;

/** Reads the feed as another program does: always from its cursor, at any node that answers. */
export class FeedReader {
  readonly events: FeedEvent[] = [];
  /** How often the cursor was refused: only a wipe may cause that. */
  expired = 0;
  readonly #site: Site;
  #cursor = '';
  #isStopped = false;
  #reading: Promise<void> | undefined;

  constructor(site: Site) {
    this.#site = site;
  }

  start(): void {
    this.#reading = this.#readOn();
  }

  /** Continues after the newest entry was read. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#reading;
    while ((await this.#read()) !== 0) await pause(READ_EVERY_MS);
  }

  async #readOn(): Promise<void> {
    while (!this.#isStopped) {
      if ((await this.#read()) !== PAGE) await pause(READ_EVERY_MS);
    }
  }

  /** Returns the number of entries; undefined if no node answered. */
  async #read(): Promise<number | undefined> {
    const node = this.#site.answering;
    if (node === undefined) return undefined;
    const answer = await fetch(`${node.gateway.url}/api/online/events?limit=${PAGE}&cursor=${this.#cursor}`, {
      headers: { authorization: `Bearer ${node.gateway.apiKey}` },
      signal: AbortSignal.timeout(3_000),
    }).catch(() => undefined);
    if (answer?.status === 410) {
      this.expired += 1;
      this.#cursor = '';
      return undefined;
    }
    if (answer?.status !== 200) return undefined;
    const body = (await answer.json().catch(() => undefined)) as
      | { events: readonly (Omit<FeedEvent, 'period'> & { period: string })[]; cursor: string }
      | undefined;
    if (body === undefined) return undefined;
    for (const event of body.events) this.events.push({ ...event, period: Number(event.period) });
    this.#cursor = body.cursor;
    return body.events.length;
  }
}
