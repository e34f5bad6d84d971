import { ok } from '../../lib/result.ts';
import { renderDocsPage } from '../docs-page.ts';
import { buildOpenApi } from '../openapi.ts';
import { addRoute, type RouteTable } from '../route.ts';

const documentation = { method: 'get', access: 'anyone', tag: 'Documentation' } as const;

const JSON_HEADERS = { 'content-type': 'application/json' } as const;

/** Returns the function that renders both pages. */
export function addDocsRoutes(table: RouteTable): () => Pages {
  const isDevelopment = table.deps.config.environment === 'development';
  const pages = renderOnce(table);
  const pageHeaders = {
    'content-type': 'text/html; charset=utf-8',
    'content-security-policy': contentSecurityPolicy(isDevelopment),
  };
  addRoute(table, {
    ...documentation,
    path: '/openapi.json',
    summary: 'This interface as OpenAPI 3.1',
    handle: (call) => ok(call.context.body(pages().json, 200, JSON_HEADERS)),
  });
  addRoute(table, {
    ...documentation,
    path: '/docs',
    summary: 'A page to read it',
    handle: (call) => ok(call.context.body(pages().html, 200, pageHeaders)),
  });
  return pages;
}

/** The page runs no script and loads nothing. In development its console may call this server, as the README shows. */
function contentSecurityPolicy(isDevelopment: boolean): string {
  const own = isDevelopment ? "; connect-src 'self'" : '';
  return `default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'${own}`;
}

interface Pages {
  readonly json: Uint8Array<ArrayBuffer>;
  readonly html: Uint8Array<ArrayBuffer>;
}

/** Renders both pages at the first request, because all routes are known then. They never change. */
function renderOnce(table: RouteTable): () => Pages {
  let pages: Pages | undefined;
  const render = (): Pages => {
    const document = buildOpenApi(table.app, table.deps.version);
    const encoder = new TextEncoder();
    return {
      json: encoder.encode(JSON.stringify(document)),
      html: encoder.encode(renderDocsPage(document)),
    };
  };
  return () => {
    pages ??= render();
    return pages;
  };
}
