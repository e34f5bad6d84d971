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

/** This program sends no longer notice. A longer one is from another program. */
const MAX_NOTICE_LENGTH = 1_048_576;
const REASONS: readonly unknown[] = ['replaced', 'logout', 'kick'] satisfies readonly Loss['reason'][];

/**
 * Sends notices of losses to other nodes, and receives those for this one. A notice has the complete losses, so its receiver
 * need not ask the store. A notice may be lost, late or doubled: the next renewal brings the same losses, and a loss voids
 * only claims up to its own revision (rule PR4).
 */
export class LossNotices {
  readonly #options: LossNoticesOptions;

  constructor(options: LossNoticesOptions) {
    this.#options = options;
  }

  /** Sends one notice to each node. Does not wait and never throws. */
  send(lost: LostByNodes): void {
    for (const [node, losses] of lost) {
      // The next renewal brings the losses of a notice that was not sent.
      this.#options.bus.publish(lossTopic(node), noticeOf(losses)).catch(() => {});
    }
  }

  /** Resolves once this node receives notices. It receives them after every reconnection too. */
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

/** Undefined if the text is not a notice. */
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
