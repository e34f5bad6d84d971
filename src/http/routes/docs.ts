import { ok } from '../../lib/result.ts';
import { DOCS_STYLE_SOURCE, renderDocsPage } from '../docs-page.ts';
import { buildOpenApi } from '../openapi.ts';
import { refusalResponse } from '../outcome.ts';
import { addRoute, type RouteTable } from '../route.ts';
import { type PageFile, readScript } from '../static-pages.ts';
import { fileResponse } from './pages.ts';

const documentation = { method: 'get', access: 'anyone', tag: 'Documentation' } as const;

const JSON_HEADERS = { 'content-type': 'application/json' } as const;

export function addDocsRoutes(table: RouteTable): void {
  const pages = renderOnce(table);
  const pageHeaders = {
    'content-type': 'text/html; charset=utf-8',
    'content-security-policy': CONTENT_SECURITY_POLICY,
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
  const script = readOnce();
  table.methods.push({ pattern: /^\/docs\/docs\.js$/, method: 'GET' });
  table.app.get('/docs/docs.js', (context) => {
    const file = script();
    if (file !== undefined) return fileResponse(context.req.raw, file);
    return refusalResponse({ code: 'not-found' }, table.deps.language(context.req.header('accept-language')));
  });
}

/** The script that `npm run build` makes. */
function readOnce(): () => PageFile | undefined {
  let files: readonly PageFile[] | undefined;
  return () => {
    files ??= readScript('dist/docs/docs.js');
    return files[0];
  };
}

/** The page runs only its own script, which may call this server and open a socket to it. */
const CONTENT_SECURITY_POLICY = `default-src 'none'; script-src 'self'; style-src ${DOCS_STYLE_SOURCE}; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'`;

interface Pages {
  readonly json: Uint8Array<ArrayBuffer>;
  readonly html: Uint8Array<ArrayBuffer>;
}

/** Renders both pages at the first request, because few servers need them and they take 6 MB. They never change. */
function renderOnce(table: RouteTable): () => Pages {
  let pages: Pages | undefined;
  const render = (): Pages => {
    const isDevelopment = table.deps.config.environment === 'development';
    const document = buildOpenApi(table.app, table.deps.version);
    const encoder = new TextEncoder();
    return {
      json: encoder.encode(JSON.stringify(document)),
      html: encoder.encode(renderDocsPage(document, { isDevelopment })),
    };
  };
  return () => {
    pages ??= render();
    return pages;
  };
}
