import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

/** One file of a built page, in the form in which it is served. */
export interface PageFile {
  readonly type: string;
  readonly body: Uint8Array<ArrayBuffer>;
  /** Absent if gzip does not make the file smaller. */
  readonly gzip: Uint8Array<ArrayBuffer> | undefined;
  readonly etag: string;
  /** The name contains a hash of the content, so the file never changes. */
  readonly isImmutable: boolean;
  /** Only for a document. */
  readonly contentSecurityPolicy: string | undefined;
}

export interface PageOptions {
  /** The page may send requests and open sockets to these places: sources of `connect-src`. */
  readonly connect: string;
}

/** The root of the package: these modules run from `src/http/` and from `dist/http/`. */
const ROOT = fileURLToPath(new URL('../..', import.meta.url));

const TYPES: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.woff2': 'font/woff2',
};

/**
 * Reads a page that `npm run build` made; returns its files by name. The names are relative to the page, with `/`; the document
 * is `index.html`. Other types of files are skipped. Empty if the page is not built.
 */
export function readPage(folder: string, options: PageOptions): ReadonlyMap<string, PageFile> {
  const path = join(ROOT, folder);
  const files = new Map<string, PageFile>();
  if (!existsSync(join(path, 'index.html'))) return files;
  for (const entry of readdirSync(path, { recursive: true, encoding: 'utf8' })) {
    const type = TYPES[extname(entry)];
    if (type === undefined) continue;
    const name = entry.replaceAll('\\', '/');
    files.set(name, pageFile(name, { type, body: readFileSync(join(path, entry)), options }));
  }
  return files;
}

/** Reads one script that `npm run build` made. Empty if it is not built. */
export function readScript(path: string): readonly PageFile[] {
  const place = join(ROOT, path);
  const type = TYPES['.js'] ?? '';
  return existsSync(place) ? [pageFile(path, { type, body: readFileSync(place), options: NO_PAGE })] : [];
}

const NO_PAGE: PageOptions = { connect: "'none'" };

function pageFile(
  name: string,
  { type, body, options }: { readonly type: string; readonly body: Buffer; readonly options: PageOptions },
): PageFile {
  const packed = gzipSync(body);
  return {
    type,
    body: Uint8Array.from(body),
    gzip: packed.length < body.length ? Uint8Array.from(packed) : undefined,
    etag: `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`,
    isImmutable: name.startsWith('assets/'),
    contentSecurityPolicy: name.endsWith('.html')
      ? contentSecurityPolicy(body.toString('utf8'), options)
      : undefined,
  };
}

/** Allows the page's own files. Of inline scripts and styles, it allows only those in the document. */
function contentSecurityPolicy(document: string, options: PageOptions): string {
  return [
    "default-src 'none'",
    ["script-src 'self'", ...hashesOf(document, 'script')].join(' '),
    ["style-src 'self'", ...hashesOf(document, 'style')].join(' '),
    "img-src 'self' data:",
    "font-src 'self'",
    `connect-src ${options.connect}`,
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
}

function hashesOf(document: string, element: 'script' | 'style'): string[] {
  const inline = document.matchAll(new RegExp(`<${element}\\b[^>]*>([^]*?)</${element}>`, 'gi'));
  return [...inline]
    .map(([, text = '']) => text)
    .filter((text) => text !== '')
    .map((text) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`);
}
