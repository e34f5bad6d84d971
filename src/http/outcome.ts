import type { Result } from '../lib/result.ts';
import {
  ERRORS,
  type ErrorCode,
  type Exactness,
  errorBody,
  errorStatus,
  type Language,
} from '../protocol/error-codes.ts';

/** Why a request was not done: a stable code, and what makes its answer exact. */
export interface Refusal extends Exactness {
  readonly code: ErrorCode;
  /** Where the contract asks for another status than the code's own. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

export type Outcome = Result<Response, Refusal>;

/** Seconds after which a client may try again what met an unreachable store or a draining node. */
const RETRY_AFTER_UNAVAILABLE_S = 1;

export function refused(code: ErrorCode, detail?: string): { readonly ok: false; readonly error: Refusal } {
  return { ok: false, error: detail === undefined ? { code } : { code, detail } };
}

/** As {@link refused}, with a sentence of its own. */
export function refusedExactly(
  code: ErrorCode,
  exact: Exactness,
): { readonly ok: false; readonly error: Refusal } {
  return { ok: false, error: { code, ...exact } };
}

/** The HTTP answer to a refusal: `{"error","code"}` with the headers that its status calls for. */
export function refusalResponse(refusal: Refusal, language: Language): Response {
  const status = refusal.status ?? errorStatus(refusal.code);
  return new Response(JSON.stringify(errorBody(refusal.code, language, refusal)), {
    status,
    headers: { 'content-type': 'application/json', ...statusHeaders(status), ...refusal.headers },
  });
}

/** The codes of the table, grouped by the status they carry; used to describe the API. */
export function codesByStatus(codes: readonly ErrorCode[]): ReadonlyMap<number, ErrorCode[]> {
  const grouped = new Map<number, ErrorCode[]>();
  for (const code of codes) {
    const status = ERRORS[code].status;
    grouped.set(status, [...(grouped.get(status) ?? []), code]);
  }
  return grouped;
}

function statusHeaders(status: number): Record<string, string> {
  // What is left of the body is not read, so nothing else can follow it on this connection.
  if (status === 413) return { connection: 'close' };
  if (status === 401) return { 'www-authenticate': 'Bearer' };
  if (status === 503) return { 'retry-after': String(RETRY_AFTER_UNAVAILABLE_S) };
  return {};
}
