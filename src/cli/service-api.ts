import { type Command, Option } from 'commander';
import { systemClock } from '../lib/clock.ts';
import { withDeadline } from '../lib/deadline.ts';
import { err, ok, type Result } from '../lib/result.ts';
import type { Language } from '../protocol/error-codes.ts';
import { type Cli, fail, readConfig } from './cli.ts';
import { networkReason } from './doctor/api.ts';
import { shown } from './printable.ts';
import { badUrl, baseUrl, pathAdvice, URL_OPTION } from './server-url.ts';

/** The options of every command that acts for the service. */
export interface ServiceOptions {
  readonly url?: string;
  readonly apiKey?: string;
  readonly key?: string;
}

/** A JSON object in an answer of the server. */
export type JsonObject = Readonly<Record<string, unknown>>;

export interface ServiceRequest {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly path: string;
  /** JSON text, which is sent unchanged. */
  readonly body?: string;
}

/** Why a request has no result to show. */
export interface ServiceFailure {
  /** 0: no answer arrived. */
  readonly status: number;
  /** One sentence: what was wrong and what to do. */
  readonly sentence: string;
}

/** Longer than the longest time that a push may wait for acknowledgements (10 s). */
const TIMEOUT_MS = 15_000;

export function withServiceOptions(command: Command): Command {
  return command
    .option('--url <url>', 'the server, default http://localhost:$PORT')
    .option('--api-key <key>', 'service key, default that of this folder and environment')
    .addOption(new Option('--key <key>', 'the same as --api-key').hideHelp());
}

/** The server in the options. If one is missing, prints a sentence about it and returns undefined. */
export function openService(cli: Cli, options: ServiceOptions): ServiceApi | undefined {
  const given = options.apiKey ?? options.key;
  const loaded = readConfig(cli, {});
  // With both options no configuration is needed: an operator's own machine has none.
  if (!loaded.ok && (options.url === undefined || given === undefined)) {
    fail(cli, loaded.error.message);
    return undefined;
  }
  const config = loaded.ok ? loaded.value.config : undefined;
  const base = baseUrl(options.url, config?.port);
  if (base === undefined) {
    fail(cli, badUrl(URL_OPTION, options.url));
    return undefined;
  }
  const key = given ?? config?.apiKeys[0];
  if (key === undefined || key === '') {
    fail(
      cli,
      'LINGXI_API_KEY is not known here: run this command in the folder of the server, set it, or pass --api-key.',
    );
    return undefined;
  }
  // A header can carry no other characters, and no server has a key with others.
  if (!/^[\x21-\x7e]+$/.test(key)) {
    fail(cli, 'The service key must have visible ASCII characters only.');
    return undefined;
  }
  return new ServiceApi({ base, key, language: config?.language ?? 'en' });
}

/** HTTP to a server with the service key. */
export class ServiceApi {
  readonly base: string;
  readonly language: Language;
  readonly #key: string;

  constructor(parts: { readonly base: string; readonly key: string; readonly language: Language }) {
    this.base = parts.base;
    this.language = parts.language;
    this.#key = parts.key;
  }

  async call(request: ServiceRequest): Promise<Result<JsonObject, ServiceFailure>> {
    let response: Response;
    let text: string;
    try {
      [response, text] = await withDeadline(systemClock(), TIMEOUT_MS, (signal) =>
        this.#ask(request, signal),
      );
    } catch (error) {
      return err({
        status: 0,
        sentence: `${this.base} gives no answer (${networkReason(error)}): start the server, or name another address with --url.`,
      });
    }
    const answer = objectOf(text);
    if (answer === undefined)
      return err({
        status: response.status,
        sentence: `${this.base} answered ${response.status} without a JSON object: ${pathAdvice(this.base) ?? 'is --url the address of a Lingxi server?'}`,
      });
    return response.ok ? ok(answer) : err(this.#refusal(request, response.status, answer));
  }

  async #ask(
    { method, path, body }: ServiceRequest,
    signal: AbortSignal,
  ): Promise<readonly [Response, string]> {
    const response = await fetch(this.base + path, {
      method,
      redirect: 'manual',
      signal,
      headers: {
        authorization: `Bearer ${this.#key}`,
        'accept-language': this.language,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body }),
    });
    return [response, await response.text()];
  }

  #refusal(request: ServiceRequest, status: number, answer: JsonObject): ServiceFailure {
    const code = shown(answer['code']);
    if (status === 401 || status === 403)
      return {
        status,
        sentence: `${this.base} does not take this service key (${status} ${code}): pass the LINGXI_API_KEY of that server as --api-key.`,
      };
    const sentence = `${this.base} answered ${status} ${code}: ${shown(answer['error'])}`;
    // The answer to a drain may also mean that no node has this name.
    const isNoAddress = code === 'not-found' && request.path !== '/api/drain';
    const advice = isNoAddress ? pathAdvice(this.base) : undefined;
    return { status, sentence: advice === undefined ? sentence : `${sentence} ${advice}.` };
  }
}

function objectOf(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as JsonObject)
      : undefined;
  } catch {
    return undefined;
  }
}

/** The objects in an array of an answer. */
export function objectsOf(value: unknown): readonly JsonObject[] {
  if (!Array.isArray(value)) return [];
  return value.filter((item): item is JsonObject => typeof item === 'object' && item !== null);
}
