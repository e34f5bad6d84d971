import { OpenAPIHono } from '@hono/zod-openapi';
import type { MiddlewareHandler } from 'hono';
import { RateLimiter } from '../lib/rate-limiter.ts';
import { cors } from './cors.ts';
import type { HttpDeps } from './deps.ts';
import { createDirectPushes, type DirectPushes } from './direct-pushes.ts';
import { measure } from './head.ts';
import { registerSecuritySchemes } from './openapi.ts';
import { refusalResponse } from './outcome.ts';
import { limitAddresses } from './rate-limit.ts';
import type { HttpContext, HttpEnv, RouteTable } from './route.ts';
import { addChangesRoutes } from './routes/changes.ts';
import { addDashboardRoutes } from './routes/dashboard.ts';
import { addDemoRoutes } from './routes/dev-demo.ts';
import { addDevTokenRoute } from './routes/dev-token.ts';
import { addDocsRoutes } from './routes/docs.ts';
import { addDrainRoutes } from './routes/drain.ts';
import { EventStreams } from './routes/event-streams.ts';
import { addGroupsRoutes } from './routes/groups.ts';
import { addHealthRoutes } from './routes/health.ts';
import { addMessagesRoute } from './routes/messages.ts';
import { addMetricsRoute } from './routes/metrics.ts';
import { addNodesRoute } from './routes/nodes.ts';
import { addOnlineRoutes } from './routes/online.ts';
import { addPages } from './routes/pages.ts';
import { addPlayersRoutes } from './routes/players.ts';
import { addStatsRoute } from './routes/stats.ts';
import { addTicketsRoutes } from './routes/tickets.ts';
import { addUpgradeRoute } from './routes/upgrade.ts';
import { addUsersRoutes } from './routes/users.ts';
import { SECURITY_HEADERS } from './security-headers.ts';

/** All HTTP answers except the upgrade itself. */
export interface HttpApp {
  /** Answers one request; never rejects. `peer` is the address of the TCP peer. */
  fetch(request: Request, peer: string): Promise<Response>;
  /** Answers the pushes of the service, without the router. */
  readonly direct: DirectPushes;
  /** Ends the streams of the feed, so that a stop does not wait for them. */
  endFeeds(): void;
}

export function createHttpApp(deps: HttpDeps): HttpApp {
  const app = new OpenAPIHono<HttpEnv>();
  const table: RouteTable = { app, deps, limiter: new RateLimiter(deps.clock), methods: [] };
  const feeds = new EventStreams(deps);
  app.use(securityHeaders);
  app.use('/api/*', cors(deps.config.allowedOrigins));
  app.use(limitAddresses(deps, table.limiter));
  registerSecuritySchemes(app);
  addUpgradeRoute(table);
  addStatsRoute(table);
  addMessagesRoute(table);
  addOnlineRoutes(table);
  addPlayersRoutes(table);
  addUsersRoutes(table);
  addGroupsRoutes(table);
  addTicketsRoutes(table);
  addChangesRoutes(table, feeds);
  addNodesRoute(table);
  addDrainRoutes(table);
  addDashboardRoutes(table);
  addHealthRoutes(table);
  addMetricsRoute(table);
  addDocsRoutes(table);
  addDevTokenRoute(table);
  addDemoRoutes(table);
  addPages(table);
  app.notFound((context) => notFound(table, context));
  app.onError((error, context) => {
    logFailure(deps, error, { method: context.req.method, path: context.req.routePath });
    return refusalResponse({ code: 'internal' }, deps.language(context.req.header('accept-language')));
  });
  return {
    direct: createDirectPushes(deps, (error, request) => logFailure(deps, error, request)),
    endFeeds: () => feeds.end(),
    async fetch(request, peer) {
      try {
        return await app.fetch(request, { peer });
      } catch (error) {
        // `onError` does not get thrown values that are no Error.
        deps.log.error(
          { event: 'internal-error', cause: String(error) },
          'a request met an unexpected throw',
        );
        return refusalResponse({ code: 'internal' }, deps.config.language);
      }
    },
  };
}

const securityHeaders: MiddlewareHandler<HttpEnv> = async (context, next) => {
  await next();
  const { headers } = context.res;
  // The files of pages set their own caching headers.
  for (const [name, value] of Object.entries(SECURITY_HEADERS))
    if (name !== 'cache-control' || !headers.has(name)) headers.set(name, value);
  if (context.req.raw.method === 'HEAD') await measure(context.res);
};

function notFound(table: RouteTable, context: HttpContext): Response {
  const language = table.deps.language(context.req.header('accept-language'));
  const methods = table.methods
    .filter(({ pattern }) => pattern.test(context.req.path))
    .flatMap(({ method }) => (method === 'GET' ? ['GET', 'HEAD'] : [method]));
  if (methods.length === 0) return refusalResponse({ code: 'not-found' }, language);
  const allow = [...new Set(methods)].join(', ');
  return refusalResponse({ code: 'method-not-allowed', headers: { allow } }, language);
}

function logFailure(
  deps: HttpDeps,
  error: unknown,
  request: { readonly method: string; readonly path: string },
): void {
  const what =
    error instanceof Error ? { cause: error.message, stack: error.stack } : { cause: String(error) };
  deps.log.error({ event: 'internal-error', ...request, ...what }, 'a request met an unexpected exception');
}
