import type { z } from '@hono/zod-openapi';
import { ok, type Result } from '../lib/result.ts';
import type { Language } from '../protocol/error-codes.ts';
import { isTooDeep, MAX_JSON_DEPTH } from '../protocol/json-text.ts';
import { type Refusal, refused } from './outcome.ts';

/**
 * Reads a JSON body of at most `maxBytes`, whatever its content type: the seed's page sends its last logout as
 * plain text. An empty body is `undefined`.
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
  if (bytes.byteLength === 0) return ok(undefined);
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    if (isTooDeep(text)) return refused('invalid-json', `(nested deeper than ${MAX_JSON_DEPTH})`);
    const value: unknown = JSON.parse(text);
    return ok({ text, value });
  } catch {
    return refused('invalid-json');
  }
}

/** Reads and checks a body; the refusal names the field that is wrong. */
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
  const field = fieldName(issue?.path ?? []);
  const isUserId = issue?.code === 'custom' && issue.params?.['code'] === 'invalid-user-id';
  return refused(isUserId ? 'invalid-user-id' : 'invalid-body', fieldDetail(field, language));
}

/** The part of a sentence that names a field. */
export function fieldDetail(field: string, language: Language): string {
  return language === 'zh' ? `字段：${field}` : `Field: ${field}`;
}

/** `['to', 'userIds', 3]` as `to.userIds[3]`. Names come from schemas, never from the client. */
function fieldName(path: readonly PropertyKey[]): string {
  let name = '';
  for (const part of path)
    name += typeof part === 'number' ? `[${part}]` : `${name === '' ? '' : '.'}${String(part)}`;
  return name === '' ? '(body)' : name;
}

/** Undefined where the body is larger than allowed, by its own word or by what arrives. */
async function readBytes(request: Request, maxBytes: number): Promise<Uint8Array | undefined> {
  const declared = request.headers.get('content-length');
  if (declared !== null && /^\d{1,15}$/.test(declared)) {
    if (Number(declared) > maxBytes) return undefined;
    const bytes = new Uint8Array(await request.arrayBuffer());
    return bytes.byteLength > maxBytes ? undefined : bytes;
  }
  return request.body === null ? new Uint8Array(0) : readStream(request.body, maxBytes);
}

async function readStream(
  stream: ReadableStream<Uint8Array>,
  maxBytes: number,
): Promise<Uint8Array | undefined> {
  const reader = stream.getReader();
  const chunks: Uint8Array[] = [];
  let total = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return Buffer.concat(chunks, total);
    total += value.byteLength;
    if (total > maxBytes) {
      await reader.cancel();
      return undefined;
    }
    chunks.push(value);
  }
}
