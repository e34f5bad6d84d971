import { parseBatch, parsePush } from '../cluster/push-request.ts';
import { assert } from '../lib/assert.ts';
import type { PushRequest } from '../protocol/delivery.ts';
import { bearer } from './access.ts';
import { parseJsonBytes } from './body.ts';
import { corsHeaders } from './cors.ts';
import type { HttpDeps } from './deps.ts';
import { refusalParts } from './outcome.ts';
import { SECURITY_HEADERS } from './security-headers.ts';

/** The only path that a service calls thousands of times a second. */
const MESSAGES_PATH = '/api/messages';

/** A request whose small body has arrived. */
interface DirectRequest {
  header(name: string): string | undefined;
  readonly body: Uint8Array;
}

interface DirectAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface DirectPushes {
  readonly path: string;
  /** Decides by the headers, before the body is read. */
  mayTake(header: DirectRequest['header']): boolean;
  /** Never rejects. Undefined: it did nothing, and the app answers. */
  answer(request: DirectRequest): Promise<DirectAnswer | undefined>;
}

/**
 * Answers valid pushes of the service without the router: the router's requests, responses and middleware cost more than the push
 * (ADR 0025). The app answers everything else: other callers, invalid bodies, idempotency keys. So each rule about refusals
 * exists only once.
 */
export function createDirectPushes(
  deps: HttpDeps,
  failed: (error: unknown, request: { readonly method: string; readonly path: string }) => void,
): DirectPushes {
  return {
    path: MESSAGES_PATH,
    mayTake(header) {
      // The app logs a warning about untrusted proxies.
      if (header('x-forwarded-for') !== undefined) return false;
      const credential = bearer(header('authorization'));
      return credential !== undefined && deps.credentials.isServiceKey(credential);
    },
    async answer(request) {
      try {
        const read = readPushes(request.body);
        if (read === undefined) return undefined;
        const answers = await deps.pushes.push(read.requests);
        const reports = answers.map((answer) => {
          assert(answer.ok, 'a push without an idempotency key is not refused');
          return answer.value;
        });
        return answerOf(deps, request, {
          status: 200,
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(read.isBatch ? reports : reports[0]),
        });
      } catch (error) {
        failed(error, { method: 'POST', path: MESSAGES_PATH });
        const language = deps.language(request.header('accept-language'));
        return answerOf(deps, request, refusalParts({ code: 'internal' }, language));
      }
    },
  };
}

/** Undefined: the app reports what is wrong, or handles the push. */
function readPushes(
  body: Uint8Array,
): { readonly requests: readonly PushRequest[]; readonly isBatch: boolean } | undefined {
  const read = parseJsonBytes(body);
  if (!read.ok || read.value === undefined) return undefined;
  const { text, value } = read.value;
  const isBatch = Array.isArray(value);
  const parsed = isBatch ? parseBatch({ text, value }) : parsePush({ text, value });
  if (!parsed.ok) return undefined;
  const requests = [parsed.value].flat();
  return requests.some(({ idempotencyKey }) => idempotencyKey !== undefined)
    ? undefined
    : { requests, isBatch };
}

function answerOf(deps: HttpDeps, request: DirectRequest, answer: DirectAnswer): DirectAnswer {
  const { status, headers, body } = answer;
  const cors = corsHeaders(deps.config.allowedOrigins, request.header('origin'));
  // The drain may have begun while the push waited. Then the answers of the app also end the connection.
  const last = deps.isDraining() ? { connection: 'close' } : {};
  return { status, headers: { ...headers, ...SECURITY_HEADERS, ...cors, ...last }, body };
}
