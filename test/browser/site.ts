import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join, normalize } from 'node:path';
import { build } from 'esbuild';
import type { Page } from 'playwright-core';
import type { State } from '../../src/client/types.ts';
import { REPOSITORY } from '../support/cache.ts';

/** The web server of a game: its pages load the built client as it is published, without a bundler. */
export interface Site {
  /** `http://localhost:<port>`; the pages know the client as `lingxi`. */
  readonly url: string;
  /** The answer of `GET /token`. */
  token: (reason: string) => string;
  stop(): Promise<void>;
}

const IMPORTS = {
  'lingxi/client': '/dist/client/index.js',
  'lingxi/client/shared': '/dist/client/shared.js',
  'lingxi/vue': '/dist/client/vue.js',
  'lingxi/seed': '/dist/client/seed.js',
  vue: '/node_modules/vue/dist/vue.esm-browser.prod.js',
};

/** Every page records its events, and the errors that nobody handled. */
const PAGE = `<!doctype html><title>A game</title><body><div id="app"></div>
<script type="importmap">${JSON.stringify({ imports: IMPORTS })}</script>
<script type="module">
  import { createClient } from 'lingxi/client';
  import { createSharedClient } from 'lingxi/client/shared';
  const errors = [];
  addEventListener('error', ({ message }) => errors.push(message));
  addEventListener('unhandledrejection', ({ reason }) => errors.push(String(reason)));
  const persisted = [];
  addEventListener('pageshow', (event) => persisted.push(event.persisted));
  const game = { errors, persisted, notes: [], states: [], freezes: 0, wokenAt: 0 };
  document.addEventListener('freeze', () => { game.freezes += 1; });
  const wake = () => { game.wokenAt = performance.now(); };
  for (const type of ['pageshow', 'online']) addEventListener(type, wake);
  document.addEventListener('visibilitychange', () => { if (!document.hidden) wake(); });
  game.start = ({ shared, withGetToken, ...options }) => {
    const getToken = async ({ reason }) => (await fetch('/token?reason=' + reason)).text();
    const given = withGetToken ? { ...options, getToken } : options;
    game.client = shared ? createSharedClient(given) : createClient(given);
    game.client.on('note', (data) => game.notes.push(data));
    game.client.subscribe((state) => game.states.push({ ...state, at: performance.now() }));
  };
  window.game = game;
</script>`;

/** A page that may not use storage, locks or channels. */
const SANDBOX = `<!doctype html><iframe sandbox="allow-scripts" src="/play"></iframe>`;

const TYPES: Readonly<Record<string, string>> = { js: 'text/javascript', html: 'text/html' };

export async function startSite(): Promise<Site> {
  const react = await reactPage();
  const site = { token: (_reason: string): string => 'no token' };
  const answer = async (path: string, query: URLSearchParams): Promise<[kind: string, text: string]> => {
    if (path === '/play') return ['html', PAGE];
    if (path === '/sandbox') return ['html', SANDBOX];
    if (path === '/elsewhere') return ['html', '<!doctype html><title>Another page</title>'];
    if (path === '/token') return ['txt', site.token(query.get('reason') ?? '')];
    if (path === '/react.js') return ['js', react];
    const isServed = path.startsWith('/dist/client/') || path.startsWith('/dist/protocol/');
    if (!isServed && path !== IMPORTS.vue) throw new Error(`nothing at ${path}`);
    return ['js', await readFile(join(REPOSITORY, normalize(path)), 'utf8')];
  };
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://localhost');
    answer(url.pathname, url.searchParams).then(
      ([kind, text]) => {
        const type = `${TYPES[kind] ?? 'text/plain'}; charset=utf-8`;
        // A sandboxed page has no origin of its own.
        response.writeHead(200, { 'content-type': type, 'access-control-allow-origin': '*' }).end(text);
      },
      () => response.writeHead(404).end(),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port was given');
  return Object.assign(site, {
    url: `http://localhost:${address.port}`,
    stop: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  });
}

/** React has no modules for browsers, so a bundle mounts a component with the hooks. */
async function reactPage(): Promise<string> {
  const { outputFiles } = await build({
    stdin: {
      resolveDir: REPOSITORY,
      contents: `
        import { createElement, StrictMode, useState } from 'react';
        import { createRoot } from 'react-dom/client';
        import { createClient } from './dist/client/index.js';
        import { useLingxi, useLingxiClient, useLingxiEvent } from './dist/client/react.js';
        function Game({ options }) {
          const [note, setNote] = useState('none');
          const client = useLingxiClient(() => createClient(options), [options]);
          const { status, reason } = useLingxi(client);
          useLingxiEvent(client, 'note', (data) => setNote(data));
          return createElement('p', {}, status + ' ' + reason + ' ' + note);
        }
        export function mount(element, options) {
          const root = createRoot(element);
          root.render(createElement(StrictMode, {}, createElement(Game, { options })));
          return () => root.unmount();
        }`,
    },
    bundle: true,
    format: 'esm',
    define: { 'process.env.NODE_ENV': '"development"' },
    write: false,
  });
  return outputFiles[0]?.text ?? '';
}

/** The data that a page records about itself. */
export interface Game {
  readonly client: {
    readonly state: State;
    send(type: string, data?: unknown): Promise<string>;
    logout(): Promise<string>;
    connect(): void;
    close(): void;
  };
  readonly states: readonly (State & { readonly at: number })[];
  readonly notes: readonly unknown[];
  readonly errors: readonly string[];
  readonly persisted: readonly boolean[];
  readonly freezes: number;
  /** When the page was last shown, or its network returned. */
  readonly wokenAt: number;
  start(options: object): void;
}

export function game(
  page: Pick<Page, 'evaluate'>,
): Promise<Omit<Game, 'start' | 'client'> & { state: State }> {
  return page.evaluate(() => {
    const { client, ...rest } = (globalThis as unknown as { game: Game }).game;
    return { ...rest, state: client.state };
  });
}

/** Starts the client of a page. */
export function play(page: Pick<Page, 'evaluate'>, options: object): Promise<void> {
  return page.evaluate((given) => {
    (globalThis as unknown as { game: Game }).game.start(given);
  }, options);
}
