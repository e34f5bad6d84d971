import type { Result } from '../lib/result.ts';
import {
  type Bilingual,
  ERRORS,
  type ErrorCode,
  type Exactness,
  errorBody,
  errorStatus,
  type Language,
} from '../protocol/error-codes.ts';

/** Why a request was refused: a stable code and the details for its answer. */
export interface Refusal extends Exactness {
  readonly code: ErrorCode;
  /** Set if the contract requires another status than that of the code. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

export type Outcome = Result<Response, Refusal>;

/** Seconds after which a client may retry after an unreachable store or a draining node. */
const RETRY_AFTER_UNAVAILABLE_S = 1;

export function refused(
  code: ErrorCode,
  detail?: Bilingual,
): { readonly ok: false; readonly error: Refusal } {
  return { ok: false, error: detail === undefined ? { code } : { code, detail } };
}

/** As {@link refused}, with a specific sentence. */
export function refusedExactly(
  code: ErrorCode,
  exact: Exactness,
): { readonly ok: false; readonly error: Refusal } {
  return { ok: false, error: { code, ...exact } };
}

/** The HTTP answer to a refusal: `{"error","code"}` with the headers of its status. */
export function refusalResponse(refusal: Refusal, language: Language): Response {
  const { body, ...head } = refusalParts(refusal, language);
  return new Response(body, head);
}

export function refusalParts(
  refusal: Refusal,
  language: Language,
): { readonly status: number; readonly headers: Record<string, string>; readonly body: string } {
  const status = refusal.status ?? errorStatus(refusal.code);
  return {
    status,
    headers: { 'content-type': 'application/json', ...statusHeaders(status), ...refusal.headers },
    body: JSON.stringify(errorBody(refusal.code, language, refusal)),
  };
}

/** The codes of the table, grouped by their status. Used to describe the API. */
export function codesByStatus(codes: readonly ErrorCode[]): ReadonlyMap<number, ErrorCode[]> {
  const grouped = new Map<number, ErrorCode[]>();
  for (const code of codes) {
    const status = ERRORS[code].status;
    grouped.set(status, [...(grouped.get(status) ?? []), code]);
  }
  return grouped;
}

function statusHeaders(status: number): Record<string, string> {
  // The rest of the body stays unread, so the connection cannot carry another request.
  if (status === 413) return { connection: 'close' };
  if (status === 401) return { 'www-authenticate': 'Bearer' };
  if (status === 503) return { 'retry-after': String(RETRY_AFTER_UNAVAILABLE_S) };
  return {};
}
