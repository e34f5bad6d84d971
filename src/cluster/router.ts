import type { Result } from '../lib/result.ts';
import type { PushReport, PushRequest } from '../protocol/delivery.ts';

/** Carries pushes to their users, wherever they are connected. */
export interface Router {
  /** Never rejects for an absent user or a full queue: the report says so. `since`: when it came in, monotonic ms. */
  push(request: PushRequest, since?: number): Promise<PushReport>;
}

/**
 * Why a push with an idempotency key was not carried out. `presence-unavailable`: the store that knows the keys does not
 * answer. `overloaded`: too many keys are kept.
 */
export type PushRefusal = 'idempotency-key-reused' | 'presence-unavailable' | 'overloaded';

export type PushAnswer = Result<PushReport, PushRefusal>;

/** Takes pushes, and carries out each idempotency key once. */
export interface Pushes {
  /** One answer for each, in order. The messages keep this order (rule DL4). Never rejects but for a bug. */
  push(requests: readonly PushRequest[]): Promise<readonly PushAnswer[]>;
}
