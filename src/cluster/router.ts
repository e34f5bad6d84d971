import type { PushReport, PushRequest } from '../protocol/delivery.ts';

/** Carries pushes to their users, wherever they are connected. */
export interface Router {
  /** Never rejects for an absent user or a full queue: the report says so. */
  push(request: PushRequest): Promise<PushReport>;
}
