import { ok } from '../../lib/result.ts';
import { renderDocsPage } from '../docs-page.ts';
import { buildOpenApi, type OpenApiDocument } from '../openapi.ts';
import { addRoute, type RouteTable } from '../route.ts';

const documentation = { method: 'get', access: 'anyone', tag: 'Documentation' } as const;

/** The page runs no script and loads nothing. */
const PAGE_HEADERS = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy':
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
} as const;

export function addDocsRoutes(table: RouteTable): void {
  const { config, version } = table.deps;
  let built: OpenApiDocument | undefined;
  const document = (): OpenApiDocument => {
    built ??= buildOpenApi(table.app, version);
    return built;
  };
  addRoute(table, {
    ...documentation,
    path: '/openapi.json',
    summary: 'This interface as OpenAPI 3.1',
    handle: (call) => ok(call.context.json(document())),
  });
  addRoute(table, {
    ...documentation,
    path: '/docs',
    summary: 'A page to read it',
    handle: (call) => ok(call.context.body(renderDocsPage(document()), 200, PAGE_HEADERS)),
  });
  if (config.environment !== 'development') return;
  table.app.get('/', (context) => context.redirect('/docs'));
}
