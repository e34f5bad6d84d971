import type { Result } from '../lib/result.ts';
import type { PushReport, PushRequest } from '../protocol/delivery.ts';

/** Delivers pushes to their users, on any node. */
export interface Router {
  /** Never rejects for an absent user or a full queue: the report has that outcome. `since`: when the push arrived, monotonic ms. */
  push(request: PushRequest, since?: number): Promise<PushReport>;
}

/**
 * Why a push with an idempotency key was not carried out. `presence-unavailable`: the store that knows the keys does not
 * answer. `overloaded`: too many keys are kept.
 */
export type PushRefusal = 'idempotency-key-reused' | 'presence-unavailable' | 'overloaded';

export type PushAnswer = Result<PushReport, PushRefusal>;

/** Carries out pushes, those with the same idempotency key once. */
export interface Pushes {
  /** One answer for each push, in order. The messages keep this order (rule DL4). Rejects only because of a bug. */
  push(requests: readonly PushRequest[]): Promise<readonly PushAnswer[]>;
}
