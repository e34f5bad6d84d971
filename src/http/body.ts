import type { z } from '@hono/zod-openapi';
import { ok, type Result } from '../lib/result.ts';
import type { Language } from '../protocol/error-codes.ts';
import { isTooDeep, MAX_JSON_DEPTH } from '../protocol/json-text.ts';
import { type Refusal, refused } from './outcome.ts';

/**
 * Reads a JSON body of at most `maxBytes` with any content type: the page of the Go server that Lingxi replaces sends its
 * last logout as plain text. An empty body is `undefined`.
 */
export async function readJson(request: Request, maxBytes: number): Promise<Result<unknown, Refusal>> {
  const read = await readJsonText(request, maxBytes);
  return read.ok ? ok(read.value?.value) : read;
}

/** As {@link readJson}, with the text from which the value was parsed. */
export async function readJsonText(
  request: Request,
  maxBytes: number,
): Promise<Result<{ readonly text: string; readonly value: unknown } | undefined, Refusal>> {
  const bytes = await readBytes(request, maxBytes).catch(() => 'broken-off' as const);
  if (bytes === 'broken-off') return refused('invalid-request');
  if (bytes === undefined) return refused('payload-too-large');
  return parseJsonBytes(bytes);
}

/** Strict; stateless between calls. */
const utf8 = new TextDecoder('utf-8', { fatal: true });

/** The same for a body that has arrived. */
export function parseJsonBytes(
  bytes: Uint8Array,
): Result<{ readonly text: string; readonly value: unknown } | undefined, Refusal> {
  if (bytes.byteLength === 0) return ok(undefined);
  try {
    const text = utf8.decode(bytes);
    if (isTooDeep(text)) return refused('invalid-json', `(nested deeper than ${MAX_JSON_DEPTH})`);
    const value: unknown = JSON.parse(text);
    return ok({ text, value });
  } catch {
    return refused('invalid-json');
  }
}

/** Reads and checks a body. The refusal names the wrong field. */
export async function readBody<Schema extends z.ZodType>(
  request: Request,
  schema: Schema,
  options: { readonly maxBytes: number; readonly language: Language; readonly optional?: boolean },
): Promise<Result<z.output<Schema>, Refusal>> {
  const read = await readJson(request, options.maxBytes);
  if (!read.ok) return read;
  if (read.value === undefined && options.optional !== true) return refused('invalid-json');
  return checkShape(schema, read.value === undefined ? {} : read.value, options.language);
}

/** Checks parsed input against a schema. */
export function checkShape<Schema extends z.ZodType>(
  schema: Schema,
  input: unknown,
  language: Language,
): Result<z.output<Schema>, Refusal> {
  const parsed = schema.safeParse(input);
  if (parsed.success) return ok(parsed.data);
  const issue = parsed.error.issues[0];
  const field = issue?.code === 'unrecognized_keys' ? unknownField(issue.keys) : fieldName(issue?.path ?? []);
  const isUserId = issue?.code === 'custom' && issue.params?.['code'] === 'invalid-user-id';
  return refused(isUserId ? 'invalid-user-id' : 'invalid-body', fieldDetail(field, language));
}

/** The part of a sentence that names a field. */
export function fieldDetail(field: string, language: Language): string {
  return language === 'zh' ? `字段：${field}` : `Field: ${field}`;
}

/** A misspelt field must not count as absent: the call would do something else. */
function unknownField(names: readonly string[]): string {
  const [name = ''] = names;
  return `${/^\w{1,32}$/.test(name) ? name : '(body)'} (unknown)`;
}

/** `['to', 'userIds', 3]` as `to.userIds[3]`. Names come from schemas, never from the client. */
function fieldName(path: readonly PropertyKey[]): string {
  let name = '';
  for (const part of path)
    name += typeof part === 'number' ? `[${part}]` : `${name === '' ? '' : '.'}${String(part)}`;
  return name === '' ? '(body)' : name;
}

/**
 * The server reads and discards a refused body up to this multiple of the limit. A client that is cut off while it sends
 * loses the answer, and a proxy turns it into a 502.
 */
const READ_ON_FACTOR = 4;

/** Largest number of pieces of a body, plus one for each {@link MIN_PIECE_BYTES}. A piece costs far more than its bytes. */
const FREE_PIECES = 1024;
const MIN_PIECE_BYTES = 64;
/** The runtime reads a body of a declared length up to this in one go. */
const MAX_SMALL_BYTES = 16_384;

/** Undefined if the body is too large, by its declared or its real size, or comes in too many pieces. */
async function readBytes(request: Request, maxBytes: number): Promise<Uint8Array | undefined> {
  const { body, headers } = request;
  const length = headers.get('content-length');
  const declared = length !== null && /^\d{1,15}$/.test(length) ? Number(length) : undefined;
  if (declared !== undefined && declared > READ_ON_FACTOR * maxBytes) return undefined;
  if (declared !== undefined && declared <= Math.min(maxBytes, MAX_SMALL_BYTES)) {
    const bytes = new Uint8Array(await request.arrayBuffer());
    return bytes.byteLength > maxBytes ? undefined : bytes;
  }
  const bytes = body === null ? new Uint8Array(0) : await readStream(body, maxBytes);
  return declared !== undefined && declared > maxBytes ? undefined : bytes;
}

/** Copies into one growing buffer: a piece that is kept would keep everything that the runtime read with it. */
async function readStream(
  stream: ReadableStream<Uint8Array>,
  maxBytes: number,
): Promise<Uint8Array | undefined> {
  const reader = stream.getReader();
  let kept = new Uint8Array(0);
  let total = 0;
  for (let pieces = 1; ; pieces += 1) {
    const { done, value } = await reader.read();
    if (done) return total > maxBytes ? undefined : kept.subarray(0, total);
    const end = total + value.byteLength;
    if (end > READ_ON_FACTOR * maxBytes || pieces > FREE_PIECES + end / MIN_PIECE_BYTES) {
      await reader.cancel();
      return undefined;
    }
    if (end <= maxBytes) {
      if (end > kept.byteLength) kept = grown(kept, Math.min(maxBytes, Math.max(end, 2 * kept.byteLength)));
      kept.set(value, total);
    }
    total = end;
  }
}

function grown(bytes: Uint8Array<ArrayBuffer>, length: number): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(length);
  larger.set(bytes);
  return larger;
}
