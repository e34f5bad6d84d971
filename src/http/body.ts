import type { z } from '@hono/zod-openapi';
import { ok, type Result } from '../lib/result.ts';
import type { Bilingual, EXACT_SENTENCES } from '../protocol/error-codes.ts';
import { isTooDeep, MAX_JSON_DEPTH } from '../protocol/json-text.ts';
import { type Refusal, refused, refusedExactly } from './outcome.ts';

/**
 * Reads a JSON body of at most `maxBytes` with any content type: the page of the Go server that Lingxi replaces sends its last
 * logout as plain text. An empty body becomes `undefined`.
 */
export async function readJson(request: Request, maxBytes: number): Promise<Result<unknown, Refusal>> {
  const read = await readJsonText(request, maxBytes);
  return read.ok ? ok(read.value?.value) : read;
}

/** As {@link readJson}, and also returns the text that it parsed. */
export async function readJsonText(
  request: Request,
  maxBytes: number,
): Promise<Result<{ readonly text: string; readonly value: unknown } | undefined, Refusal>> {
  const bytes = await readBytes(request, maxBytes).catch(() => 'broken-off' as const);
  if (bytes === 'broken-off') return refused('invalid-request');
  if (bytes === undefined) return refused('payload-too-large');
  return parseJsonBytes(bytes);
}

const TOO_DEEP: Bilingual = {
  en: `(nested deeper than ${MAX_JSON_DEPTH})`,
  zh: `（嵌套超过 ${MAX_JSON_DEPTH} 层）`,
};

/** Strict; stateless between calls. */
const utf8 = new TextDecoder('utf-8', { fatal: true });

/** The same for a body that has already arrived. */
export function parseJsonBytes(
  bytes: Uint8Array,
): Result<{ readonly text: string; readonly value: unknown } | undefined, Refusal> {
  if (bytes.byteLength === 0) return ok(undefined);
  try {
    const text = utf8.decode(bytes);
    if (isTooDeep(text)) return refused('invalid-json', TOO_DEEP);
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
  options: { readonly maxBytes: number; readonly optional?: boolean },
): Promise<Result<z.output<Schema>, Refusal>> {
  const read = await readJson(request, options.maxBytes);
  if (!read.ok) return read;
  if (read.value === undefined && options.optional !== true) return refused('invalid-json');
  return checkShape(schema, read.value === undefined ? {} : read.value);
}

/** Checks a parsed body against a schema. */
function checkShape<Schema extends z.ZodType>(
  schema: Schema,
  body: unknown,
): Result<z.output<Schema>, Refusal> {
  const parsed = schema.safeParse(body);
  if (parsed.success) return ok(parsed.data);
  const issue = parsed.error.issues[0];
  const isUserId = issue?.code === 'custom' && issue.params?.['code'] === 'invalid-user-id';
  const code = isUserId ? 'invalid-user-id' : 'invalid-body';
  if (issue?.code === 'unrecognized_keys') return refused(code, unknownField(issue.keys));
  return refused(code, fieldDetail(fieldName(issue?.path ?? [])));
}

/** Checks the query of an address against a schema. */
export function checkQuery<Schema extends z.ZodType>(
  schema: Schema,
  query: Readonly<Record<string, string>>,
): Result<z.output<Schema>, Refusal> {
  const parsed = schema.safeParse(query);
  if (parsed.success) return ok(parsed.data);
  const [issue] = parsed.error.issues;
  return queryRefused(fieldName(issue?.path ?? []), issue === undefined ? undefined : allowedValues(issue));
}

/** The refusal of a query parameter. */
export function queryRefused(
  name: string,
  note?: Bilingual,
): { readonly ok: false; readonly error: Refusal } {
  return wrongPart('wrong-query', parameterDetail(name, note));
}

/** What a query parameter may be, if its schema says that. */
function allowedValues(issue: z.core.$ZodIssue): Bilingual | undefined {
  if (issue.code === 'custom' && issue.params?.['minimum'] !== undefined) {
    const { minimum, maximum } = issue.params;
    return {
      en: ` (a whole number from ${minimum} to ${maximum})`,
      zh: `（${minimum} 到 ${maximum} 的整数）`,
    };
  }
  if (issue.code === 'invalid_value')
    return { en: ` (one of ${issue.values.join(', ')})`, zh: `（可用的值：${issue.values.join('、')}）` };
  if (issue.code === 'too_big')
    return { en: ` (at most ${issue.maximum} characters)`, zh: `（最多 ${issue.maximum} 个字符）` };
  return undefined;
}

/** The same for a header. */
export function headerRefused(name: string): { readonly ok: false; readonly error: Refusal } {
  return wrongPart('wrong-header', { en: `Header: ${name}`, zh: `请求头：${name}` });
}

function wrongPart(
  sentence: keyof typeof EXACT_SENTENCES,
  detail: Bilingual,
): { readonly ok: false; readonly error: Refusal } {
  return refusedExactly('invalid-body', { sentence, detail });
}

/** The part of a sentence that names a field of the body. `note` follows the name. */
export function fieldDetail(field: string, note: Bilingual = { en: '', zh: '' }): Bilingual {
  return { en: `Field: ${field}${note.en}`, zh: `字段：${field.replace(WHOLE, wholeInChinese)}${note.zh}` };
}

/** The same for a part of the path or of the query. */
export function parameterDetail(name: string, note: Bilingual = { en: '', zh: '' }): Bilingual {
  return { en: `Parameter: ${name}${note.en}`, zh: `参数：${name}${note.zh}` };
}

/** Replaces the name of a field if the fault is in no single field. */
const WHOLE = /\((?:body|message|batch)\)/;
const WHOLE_IN_CHINESE: Readonly<Record<string, string>> = {
  '(body)': '（整个请求体）',
  '(message)': '（整条消息）',
  '(batch)': '（整批消息）',
};

function wholeInChinese(whole: string): string {
  return WHOLE_IN_CHINESE[whole] ?? whole;
}

/** A misspelt field must not count as absent, because the call would then do something else. */
function unknownField(names: readonly string[]): Bilingual {
  const [name = ''] = names;
  return fieldDetail(/^\w{1,32}$/.test(name) ? name : '(body)', { en: ' (unknown)', zh: '（未知）' });
}

/** `['to', 'userIds', 3]` as `to.userIds[3]`. Names come from schemas, never from the client. */
function fieldName(path: readonly PropertyKey[]): string {
  let name = '';
  for (const part of path)
    name += typeof part === 'number' ? `[${part}]` : `${name === '' ? '' : '.'}${String(part)}`;
  return name === '' ? '(body)' : name;
}

/**
 * The server reads and discards a refused body up to this multiple of the limit. If it cut the client off, the client would lose
 * the answer, and a proxy would answer 502.
 */
const READ_ON_FACTOR = 4;

/** Largest number of pieces of a body, plus one for each {@link MIN_PIECE_BYTES}. A piece costs far more than its bytes. */
const FREE_PIECES = 1024;
const MIN_PIECE_BYTES = 64;
/** If the declared length is at most this, the runtime reads the whole body at once. */
const MAX_SMALL_BYTES = 16_384;

/** Undefined if the body is too large by its declared or its real size, or has too many pieces. */
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

/** Copies into one growing buffer. A stored piece would keep in memory everything that the runtime read with it. */
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
