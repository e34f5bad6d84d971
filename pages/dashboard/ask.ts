import { language } from '../shared/language.ts';
import { isolated } from '../shared/visible-text.ts';
import { objectOf, textOf } from './reading.ts';
import { refuseKey } from './session.ts';
import type { Say } from './texts.ts';

/** Why there is no usable answer. */
export type Problem =
  /** No connection: the server or the network is down. */
  | { readonly kind: 'unreachable' }
  /** Nothing arrived for too long. */
  | { readonly kind: 'slow' }
  /** A stream ended: the server stops or restarts. */
  | { readonly kind: 'ended' }
  /** 401: the key is wrong or no longer valid. */
  | { readonly kind: 'key' }
  /** A proxy answers instead of the gateway. */
  | { readonly kind: 'gateway'; readonly status: number; readonly retryMs: number | undefined }
  /** 429 and 503: a temporary refusal. */
  | { readonly kind: 'busy'; readonly sentence: string; readonly retryMs: number | undefined }
  /** Any other refusal, with the server's own sentence. */
  | { readonly kind: 'refused'; readonly status: number; readonly code: string; readonly sentence: string }
  /** This page does not know the form of the answer: it comes from a proxy, or from a server of another version. */
  | { readonly kind: 'strange' };

export type Reply =
  | { readonly ok: true; readonly body: unknown }
  | { readonly ok: false; readonly problem: Problem };

export interface Request {
  readonly key: string;
  readonly method?: string;
  /** JSON text. */
  readonly body?: string;
  readonly signal?: AbortSignal;
}

const TIMEOUT_MS = 10_000;
/** Longest time for which a server may keep the page waiting. */
const LONGEST_RETRY_MS = 60_000;
const SENTENCE_CHARACTERS = 400;

/** Sends a request to the API. It never throws. If the server refuses the key, the session ends. */
export async function ask(path: string, request: Request): Promise<Reply> {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const signal = request.signal === undefined ? timeout : AbortSignal.any([timeout, request.signal]);
  try {
    const response = await call(path, request, signal);
    if (!response.ok) return { ok: false, problem: await problemOf(response, request.key) };
    return { ok: true, body: (await response.json()) as unknown };
  } catch (error) {
    if (timeout.aborted) return { ok: false, problem: { kind: 'slow' } };
    return { ok: false, problem: { kind: error instanceof SyntaxError ? 'strange' : 'unreachable' } };
  }
}

export async function call(path: string, request: Request, signal: AbortSignal): Promise<Response> {
  const headers = new Headers({ 'accept-language': language.now === 'zh' ? 'zh-CN' : 'en' });
  // A key that a header cannot carry is wrong.
  if (isHeaderText(request.key)) headers.set('authorization', `Bearer ${request.key}`);
  // The page is one folder below the API, even if a proxy serves both under another path.
  return fetch(new URL(`../api/${path}`, location.href), {
    method: request.method ?? 'GET',
    headers,
    signal,
    cache: 'no-store',
    credentials: 'omit',
    ...(request.body === undefined ? {} : { body: request.body }),
  });
}

/** Reads a refusal. */
export async function problemOf(response: Response, key: string): Promise<Problem> {
  const { status } = response;
  const text = await response.text().catch(() => '');
  const body = objectOf(parsed(text));
  const sentence = textOf(body['error']);
  if (status === 401) {
    refuseKey(key);
    return { kind: 'key' };
  }
  const code = textOf(body['code']);
  const retryMs = retryMsOf(response.headers.get('retry-after'));
  // The gateway's own refusals have a code, and it never answers 502 or 504.
  if (status === 502 || status === 504 || (status === 503 && code === ''))
    return { kind: 'gateway', status, retryMs };
  if (status === 429 || status === 503) return { kind: 'busy', sentence, retryMs };
  if (code === '' && status < 500) return { kind: 'strange' };
  return { kind: 'refused', status, code, sentence };
}

/** How long the server, or a proxy before it, asks the page to wait. */
export function askedWaitMs(problem: Problem | undefined): number {
  return problem?.kind === 'busy' || problem?.kind === 'gateway' ? (problem.retryMs ?? 0) : 0;
}

/** The fault as a sentence for the reader. */
export function sentenceOfProblem(problem: Problem, say: Say): string {
  switch (problem.kind) {
    case 'busy':
      return problem.sentence === '' ? say('problem.busy') : isolated(problem.sentence, SENTENCE_CHARACTERS);
    case 'refused': {
      const sentence = isolated(problem.sentence, SENTENCE_CHARACTERS);
      return problem.sentence === '' ? say('problem.refused', { status: problem.status }) : sentence;
    }
    case 'gateway':
      return say('problem.gateway', { status: problem.status });
    case 'unreachable':
    case 'slow':
    case 'ended':
    case 'key':
    case 'strange':
      return say(`problem.${problem.kind}`);
  }
}

function isHeaderText(text: string): boolean {
  return /^[\u0021-\u007e]+$/.test(text);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function retryMsOf(header: string | null): number | undefined {
  if (header === null || header.trim() === '') return undefined;
  const seconds = Number(header);
  const ms = Number.isFinite(seconds) ? seconds * 1_000 : Date.parse(header) - Date.now();
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), LONGEST_RETRY_MS);
}
