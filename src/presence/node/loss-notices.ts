import type { Bus } from '../../cluster/bus.ts';
import type { Log } from '../../logging/log.ts';
import { parseJson } from '../../protocol/json-text.ts';
import { type Loss, type LostByNodes, MAX_BATCH } from '../store/port.ts';

export interface LossNoticesOptions {
  readonly bus: Bus;
  /** This incarnation. */
  readonly node: string;
  readonly log: Log;
}

/** No notice is longer: what is came from elsewhere. */
const MAX_NOTICE_LENGTH = 1_048_576;
const REASONS: readonly unknown[] = ['replaced', 'logout', 'kick'] satisfies readonly Loss['reason'][];

/**
 * Tells other nodes at once what the store took from them, and hears what it took from this one. A notice names each loss
 * whole, so its receiver need not ask the store. It may be lost, late or doubled: the next renewal brings the same losses,
 * and a loss takes only what its statement covers (rule PR4).
 */
export class LossNotices {
  readonly #options: LossNoticesOptions;

  constructor(options: LossNoticesOptions) {
    this.#options = options;
  }

  /** Sends one notice to each node. Waits for nothing and never throws. */
  send(lost: LostByNodes): void {
    for (const [node, losses] of lost) {
      // A notice that finds no way is as good as one that is lost.
      this.#options.bus.publish(lossTopic(node), noticeOf(losses)).catch(() => {});
    }
  }

  /** Resolves once this node hears notices; from then on over every reconnection. */
  listen(hear: (losses: readonly Loss[]) => void): Promise<void> {
    const { bus, node, log } = this.#options;
    const channel = lossTopic(node);
    return bus.subscribe(channel, (text) => {
      const losses = parseNotice(text);
      if (losses !== undefined) hear(losses);
      else log.warn({ event: 'malformed-message', channel }, 'ignored a notice of losses');
    });
  }
}

function lossTopic(node: string): string {
  return `lost:${node}`;
}

function noticeOf(losses: readonly Loss[]): string {
  const lost = losses.map(({ userId, rev, reason, note }) => [
    userId,
    rev,
    reason,
    ...(note === undefined ? [] : [note]),
  ]);
  return JSON.stringify({ lost });
}

/** Undefined where it is no notice. */
function parseNotice(text: string): readonly Loss[] | undefined {
  if (text.length > MAX_NOTICE_LENGTH) return undefined;
  const { lost } = (parseJson(text) ?? {}) as { readonly lost?: unknown };
  if (!Array.isArray(lost) || lost.length > MAX_BATCH) return undefined;
  const losses = lost.flatMap((entry: unknown) => parseLoss(entry) ?? []);
  return losses.length === lost.length ? losses : undefined;
}

function parseLoss(entry: unknown): Loss | undefined {
  if (!Array.isArray(entry)) return undefined;
  const [userId, rev, reason, note] = entry as readonly unknown[];
  if (!Number.isSafeInteger(userId) || !Number.isSafeInteger(rev) || !REASONS.includes(reason))
    return undefined;
  if (note !== undefined && typeof note !== 'string') return undefined;
  const loss = { userId: userId as number, rev: rev as number, reason: reason as Loss['reason'] };
  return note === undefined ? loss : { ...loss, note };
}
