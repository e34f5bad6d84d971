import { ok } from '../../lib/result.ts';
import { type Outcome, refusalResponse, refused } from '../outcome.ts';
import { addRoute, type Call, type RouteTable } from '../route.ts';
import { type PageFile, readPage } from '../static-pages.ts';

/** A page that `npm run build` makes. */
interface Page {
  /** The path of the page, with a slash at its end. */
  readonly path: string;
  /** The folder of the built page. */
  readonly folder: string;
  readonly summary: string;
  readonly connect: string;
}

const DASHBOARD: Page = {
  path: '/dashboard/',
  folder: 'dist/dashboard',
  summary: 'The dashboard: a page that asks for the service key, or for LINGXI_VIEW_KEY',
  connect: "'self'",
};
const SIMULATOR: Page = {
  path: '/simulator/',
  folder: 'docs/simulator',
  summary: 'The simulator: nodes that die, and a ledger that stays exact. The page runs in the browser alone',
  connect: "'none'",
};
/** The page connects to all nodes of one machine, which have other ports. */
const DEMO: Page = {
  path: '/',
  folder: 'dist/demo',
  summary: 'The demo game',
  connect: "'self' ws://localhost:* ws://127.0.0.1:* http://localhost:* http://127.0.0.1:*",
};

/** Each page is read from the disk at its first request. */
export function addPages(table: RouteTable): void {
  const isDevelopment = table.deps.config.environment === 'development';
  for (const page of [DASHBOARD, SIMULATOR, ...(isDevelopment ? [DEMO] : [])]) addPage(table, page);
}

function addPage(table: RouteTable, page: Page): void {
  let files: ReadonlyMap<string, PageFile> | undefined;
  const read = (): ReadonlyMap<string, PageFile> => {
    files ??= readPage(page.folder, { connect: page.connect });
    return files;
  };
  addRoute(table, {
    method: 'get',
    path: page.path,
    access: 'anyone',
    ignoresCredential: true,
    tag: 'Pages',
    summary: page.summary,
    handle: (call) => answer(call, read(), 'index.html'),
  });
  const assets = `${page.path}assets/`;
  table.methods.push({ pattern: new RegExp(`^${assets}[^/]+$`), method: 'GET' });
  table.app.get(`${assets}:name`, (context) => {
    const file = read().get(`assets/${context.req.param('name')}`);
    if (file !== undefined) return fileResponse(context.req.raw, file);
    const language = table.deps.language(context.req.header('accept-language'));
    return refusalResponse({ code: 'not-found' }, language);
  });
  if (page.path !== '/')
    table.app.get(page.path.slice(0, -1), (context) => {
      // Without a length, Node would send an empty chunked body to GET, and no such header to HEAD.
      context.header('content-length', '0');
      // Relative, because a proxy may serve this below another path.
      return context.redirect(`.${page.path}`, 308);
    });
}

function answer(call: Call, files: ReadonlyMap<string, PageFile>, name: string): Outcome {
  const file = files.get(name);
  return file === undefined ? refused('not-found') : ok(fileResponse(call.context.req.raw, file));
}

export function fileResponse(request: Request, file: PageFile): Response {
  const headers: Record<string, string> = {
    'content-type': file.type,
    'cache-control': file.isImmutable ? 'public, max-age=31536000, immutable' : 'no-cache',
    etag: file.etag,
    vary: 'Accept-Encoding',
  };
  if (file.contentSecurityPolicy !== undefined)
    headers['content-security-policy'] = file.contentSecurityPolicy;
  const known = request.headers.get('if-none-match')?.trim();
  if (known === '*' || known?.includes(file.etag) === true)
    return new Response(null, { status: 304, headers });
  const takesGzip = /\bgzip\b(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))/i.test(
    request.headers.get('accept-encoding') ?? '',
  );
  const isPacked = file.gzip !== undefined && takesGzip;
  const body = isPacked ? file.gzip : file.body;
  headers['content-length'] = String(body.length);
  if (isPacked) headers['content-encoding'] = 'gzip';
  return new Response(body, { headers });
}
