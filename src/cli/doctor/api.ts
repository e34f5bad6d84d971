import { systemClock } from '../../lib/clock.ts';
import { withDeadline } from '../../lib/deadline.ts';
/** An HTTP answer in a form for the checks. */
export interface Answer {
  readonly status: number;
  /** The parsed JSON object, or an empty one if the body is no object. */
  readonly body: Readonly<Record<string, unknown>>;
  /** Status and body in short, for the report. */
  readonly seen: string;
}

export interface Call {
  /** A user token or the service key. */
  readonly bearer?: string;
  readonly body?: unknown;
}

const TIMEOUT_MS = 10_000;
const MAX_SEEN = 160;

/** HTTP to the server under test. */
export class Api {
  readonly base: string;

  constructor(base: string) {
    this.base = base;
  }

  get(path: string, call: Call = {}): Promise<Answer> {
    return this.#send('GET', path, call);
  }

  post(path: string, call: Call): Promise<Answer> {
    return this.#send('POST', path, call);
  }

  async #send(method: string, path: string, call: Call): Promise<Answer> {
    try {
      return await withDeadline(systemClock(), TIMEOUT_MS, (signal) =>
        this.#ask(method, path, { ...call, signal }),
      );
    } catch (error) {
      return { status: 0, body: {}, seen: `no answer (${networkReason(error)})` };
    }
  }

  async #ask(method: string, path: string, call: Call & { readonly signal: AbortSignal }): Promise<Answer> {
    const response = await fetch(this.base + path, {
      method,
      redirect: 'manual',
      signal: call.signal,
      headers: {
        ...(call.bearer === undefined ? {} : { Authorization: `Bearer ${call.bearer}` }),
        ...(call.body === undefined ? {} : { 'Content-Type': 'application/json' }),
      },
      ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
    });
    const text = await response.text();
    return {
      status: response.status,
      body: objectOf(text),
      seen: `${response.status} ${shorten(text)}`.trim(),
    };
  }
}

function objectOf(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function shorten(text: string): string {
  const line = text.replace(/[\u0000-\u001f\u007f-\u009f]+/g, ' ');
  return line.length > MAX_SEEN ? `${line.slice(0, MAX_SEEN)}…` : line;
}

/** Why a request got no answer, in short. */
export function networkReason(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  if (!(cause instanceof Error)) return String(cause);
  return 'code' in cause ? String(cause.code) : cause.message;
}
