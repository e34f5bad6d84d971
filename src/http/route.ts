import type { OpenAPIHono, RouteConfig, z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import type { RateLimiter } from '../lib/rate-limiter.ts';
import { ok, type Result } from '../lib/result.ts';
import type { ErrorCode, Language } from '../protocol/error-codes.ts';
import { parseUserId } from '../protocol/user-id.ts';
import { type Access, admit, type Caller, mayActFor, seesAll } from './access.ts';
import { parameterDetail, readBody } from './body.ts';
import type { HttpDeps } from './deps.ts';
import { codesByStatus, type Outcome, type Refusal, refusalResponse, refused } from './outcome.ts';
import { refusalOf, USER_RATE } from './rate-limit.ts';
import { ErrorSchema } from './schemas.ts';

export type HttpEnv = { Bindings: { readonly peer: string } };
export type HttpContext = Context<HttpEnv>;

/** Routes are added here. It has the parts that all of them share. */
export interface RouteTable {
  readonly app: OpenAPIHono<HttpEnv>;
  readonly deps: HttpDeps;
  readonly limiter: RateLimiter;
  /** Every path with its methods, for the answer 405. */
  readonly methods: { readonly pattern: RegExp; readonly method: string }[];
}

/** One admitted request. */
export interface Call {
  readonly context: HttpContext;
  readonly deps: HttpDeps;
  readonly caller: Caller;
  readonly language: Language;
  /** The client's address. */
  readonly address: string;
}

/** A route with its description, its guards and its handler. */
export interface Route {
  readonly method: 'get' | 'post' | 'delete';
  /** In the notation of OpenAPI: `/api/users/{id}`. */
  readonly path: string;
  readonly access: Access;
  readonly summary: string;
  readonly tag: string;
  readonly description?: string;
  readonly body?: z.ZodType;
  readonly bodyOptional?: boolean;
  readonly params?: z.ZodObject;
  readonly query?: z.ZodObject;
  readonly answer?: z.ZodType;
  readonly errors?: readonly ErrorCode[];
  /** The route returns the same to all callers, so a wrong credential does not count as a failed attempt. */
  readonly ignoresCredential?: boolean;
  /** The route changes nothing, although it is a POST. A GET never changes anything. */
  readonly onlyReads?: boolean;
  readonly handle: (call: Call) => Outcome | Promise<Outcome>;
}

export function addRoute(table: RouteTable, route: Route): void {
  const routingPath = route.path.replaceAll(/\{(\w+)\}/g, ':$1');
  table.app.openAPIRegistry.registerPath(describe(route));
  table.methods.push({
    pattern: new RegExp(`^${routingPath.replaceAll(/:\w+/g, '[^/]+').replaceAll('.', '\\.')}$`),
    method: route.method.toUpperCase(),
  });
  table.app.on(route.method, routingPath, async (context) => {
    const language = table.deps.language(context.req.header('accept-language'));
    const outcome = await serve(table, route, { context, language });
    return outcome.ok ? outcome.value : refusalResponse(outcome.error, language);
  });
}

/** Checks the user id of a path or query parameter, and the caller's right to act for that user. */
export function userIdOf(call: Call, name: string, text: string | undefined): Result<number, Refusal> {
  const userId = parseUserId(text);
  if (userId === undefined) return refused('invalid-user-id', parameterDetail(name));
  return mayActFor(call.caller, userId) ? ok(userId) : refused('user-mismatch');
}

/** The request's body, checked. */
export function bodyOf<Schema extends z.ZodType>(
  call: Call,
  schema: Schema,
  options: { readonly optional?: boolean } = {},
): Promise<Result<z.output<Schema>, Refusal>> {
  return readBody(call.context.req.raw, schema, {
    maxBytes: call.deps.config.maxBodyBytes,
    ...options,
  });
}

/** The end of a block that begins now; undefined without a block. */
export function blockedUntil(call: Call, blockMs: number | undefined): number | undefined {
  return blockMs === undefined || blockMs === 0 ? undefined : call.deps.clock.now() + blockMs;
}

/** Logs a call with the service key. */
export function audit(call: Call, action: string, fields: Readonly<Record<string, unknown>>): void {
  if (call.caller.kind !== 'service') return;
  call.deps.log.info({ event: 'audit', action, ip: call.address, ...fields }, `service key: ${action}`);
}

/** Runs a query to the presence store. A failure becomes an answer; it is not a bug. */
export async function askPresence<Value>(
  call: Call,
  question: Promise<Value>,
): Promise<Result<Value, Refusal>> {
  try {
    return ok(await question);
  } catch (error) {
    call.deps.log.warn(
      {
        event: 'presence-unavailable',
        path: call.context.req.routePath,
        cause: error instanceof Error ? error.message : String(error),
      },
      'presence could not be read',
    );
    return refused('presence-unavailable');
  }
}

async function serve(
  table: RouteTable,
  route: Route,
  request: { readonly context: HttpContext; readonly language: Language },
): Promise<Outcome> {
  const { deps } = table;
  const { context, language } = request;
  const address = deps.clientAddress(context.env.peer, context.req.header('x-forwarded-for'));
  const admitted = await admit(context.req.header('authorization'), {
    access: route.access,
    onlyReads: mayView(route),
    openApi: deps.config.legacyOpenApi,
    credentials: deps.credentials,
    failed: () => (route.ignoresCredential === true ? 0 : deps.failedCredentials.note(address)),
  });
  if (!admitted.ok) return admitted;
  const caller = admitted.value;
  if (caller.kind === 'user') {
    const refusal = refusalOf(table.limiter, `user:${caller.identity.userId}`, USER_RATE);
    if (refusal !== undefined) return { ok: false, error: refusal };
  }
  if (isForgeable(deps, route, { context, caller })) return refused('origin-not-allowed');
  return route.handle({ context, deps, language, address, caller });
}

/** Whether any web page could make a browser send this change, because it needs no credential (open API). */
function isForgeable(
  deps: HttpDeps,
  route: Route,
  request: { readonly context: HttpContext; readonly caller: Caller },
): boolean {
  const { context, caller } = request;
  if (route.method === 'get' || caller.kind === 'user' || seesAll(caller)) return false;
  return !deps.allowsOrigin(context.req.header('origin'), context.req.header('host'));
}

/** Whether a view key may call it. */
function mayView({ method, onlyReads }: Pick<Route, 'method' | 'onlyReads'>): boolean {
  return method === 'get' || onlyReads === true;
}

function describe(route: Route): RouteConfig {
  const request: NonNullable<RouteConfig['request']> = {};
  if (route.params !== undefined) request.params = route.params;
  if (route.query !== undefined) request.query = route.query;
  if (route.body !== undefined)
    request.body = {
      required: route.bodyOptional !== true,
      content: { 'application/json': { schema: route.body } },
    };
  const responses: RouteConfig['responses'] = {};
  if (route.answer !== undefined)
    responses[200] = { description: 'Done.', content: { 'application/json': { schema: route.answer } } };
  for (const [status, codes] of codesByStatus([...(route.errors ?? []), ...guardCodes(route)]))
    responses[status] = {
      description: codes.map((code) => `\`${code}\``).join(', '),
      content: { 'application/json': { schema: ErrorSchema } },
    };
  return {
    method: route.method,
    path: route.path,
    summary: route.summary,
    tags: [route.tag],
    security: security(route),
    request,
    responses,
    ...(route.description === undefined ? {} : { description: route.description }),
  };
}

function security({ access, ...route }: Route): Record<string, string[]>[] {
  const onlyReads = mayView(route);
  if (access === 'anyone') return [];
  const keys = onlyReads ? [{ serviceKey: [] }, { viewKey: [] }] : [{ serviceKey: [] }];
  return access.endsWith('user') ? [{ userToken: [] }, ...keys] : keys;
}

/** The answers of the guards that run before the handler. */
function guardCodes(route: Route): ErrorCode[] {
  const codes: ErrorCode[] = ['rate-limited'];
  if (route.access !== 'anyone') codes.push('unauthorized', 'invalid-token', 'credentials-unavailable');
  if (route.method !== 'get' && route.access.startsWith('open-')) codes.push('origin-not-allowed');
  if (route.access.endsWith('user')) codes.push('user-mismatch');
  if (route.access.endsWith('service')) codes.push('forbidden');
  if (route.body !== undefined) codes.push('invalid-json', 'invalid-body', 'payload-too-large');
  return codes;
}
