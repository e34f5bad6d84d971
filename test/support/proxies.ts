import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CACHE, findExecutable, REPOSITORY, withLock } from './cache.ts';
import { startChild } from './child.ts';
import { fetchDebianPrograms, libraryPath } from './debian.ts';
import { freePort, waitForPort } from './ports.ts';

export const PROXIES = ['nginx', 'haproxy', 'caddy'] as const;
export type ProxyName = (typeof PROXIES)[number];

/** A load balancer in front of two nodes, with the configuration from docs/BEHIND-A-PROXY.md. */
export interface LoadBalancer {
  readonly name: ProxyName;
  readonly port: number;
  readonly url: string;
  readonly wsUrl: string;
  /** Its output, for a failure message. */
  output(): string;
  stop(): Promise<void>;
}

/** The place of the configuration in the repository, and the replacements for its ports and nodes. */
interface Recipe {
  readonly file: string;
  /** The address that it listens on, as written in the file. */
  readonly listens: string;
  readonly listensOn: (port: number) => string;
  readonly program: string;
  /** Completes the configuration for a process of a test, without root rights. */
  readonly wrap: (text: string, folder: string) => string;
  readonly args: (config: string) => readonly string[];
}

const NODE_ADDRESSES = ['127.0.0.1:4101', '127.0.0.1:4102'] as const;
const ROOT = join(CACHE, 'lingxi-proxies');
const START_TIMEOUT_MS = 20_000;
/** Two for each client, as BEHIND-A-PROXY.md says. */
const NGINX_CONNECTIONS = 4_096;

const RECIPES: Readonly<Record<ProxyName, Recipe>> = {
  nginx: {
    file: 'nginx.conf',
    listens: 'listen 8080;',
    listensOn: (port) => `listen 127.0.0.1:${port};`,
    program: 'sbin/nginx',
    wrap: wrapNginx,
    args: (config) => ['-c', config, '-e', 'stderr'],
  },
  haproxy: {
    file: 'haproxy.cfg',
    listens: 'bind :8080',
    listensOn: (port) => `bind 127.0.0.1:${port}`,
    program: 'sbin/haproxy',
    wrap: (text) => replaceOnce(text, 'maxconn 200000', 'maxconn 2000'),
    args: (config) => ['-db', '-f', config],
  },
  caddy: {
    file: 'Caddyfile',
    listens: ':8080 {',
    listensOn: (port) => `:${port} {\n\tbind 127.0.0.1`,
    program: 'bin/caddy',
    // Its own interface has a fixed port.
    wrap: (text) => replaceOnce(text, '{\n\tservers {', '{\n\tadmin off\n\tservers {'),
    args: (config) => ['run', '--adapter', 'caddyfile', '--config', config],
  },
};

/** Starts it in front of the nodes on these two ports. */
export async function startLoadBalancer(
  name: ProxyName,
  nodePorts: readonly number[],
): Promise<LoadBalancer> {
  const { command, libraries } = await findProxy(name);
  const recipe = RECIPES[name];
  const folder = mkdtempSync(join(tmpdir(), `lingxi-${name}-`));
  const port = await freePort();
  const config = join(folder, recipe.file);
  writeFileSync(config, configuration(recipe, { folder, port, nodePorts }));
  const child = startChild(command, recipe.args(config), {
    cwd: folder,
    env: { ...process.env, LD_LIBRARY_PATH: libraries, HOME: folder },
    removeOnDeath: folder,
  });
  const stop = async (): Promise<void> => {
    if (child.exit() === undefined) child.signalGroup('SIGKILL');
    await child.exited;
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await waitForPort(port, START_TIMEOUT_MS, () =>
      child.exit() === undefined ? undefined : `${name} ended: ${child.output()}`,
    );
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    name,
    port,
    url: `http://127.0.0.1:${port}`,
    wsUrl: `ws://127.0.0.1:${port}/ws`,
    output: () => child.output(),
    stop,
  };
}

function configuration(
  recipe: Recipe,
  to: { readonly folder: string; readonly port: number; readonly nodePorts: readonly number[] },
): string {
  const text = readFileSync(join(REPOSITORY, 'docs/proxies', recipe.file), 'utf8');
  const listening = replaceOnce(text, recipe.listens, recipe.listensOn(to.port));
  const leading = NODE_ADDRESSES.reduce(
    (changed, address, index) => replaceOnce(changed, address, `127.0.0.1:${to.nodePorts[index]}`),
    listening,
  );
  return recipe.wrap(leading, to.folder);
}

/** The page shows the contents of the http block. The rest is for this process. */
function wrapNginx(text: string, folder: string): string {
  const kinds = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  const temporary = kinds.map((kind) => `${kind}_temp_path ${join(folder, kind)};`).join('\n');
  const user = process.getuid?.() === 0 ? 'user root;' : '';
  const head = `daemon off; ${user} pid ${join(folder, 'pid')}; error_log stderr warn;`;
  return `${head}\nevents { worker_connections ${NGINX_CONNECTIONS}; }\nhttp {\naccess_log off;\n${temporary}\n${text}}\n`;
}

/** Throws if the configuration in the repository no longer has the text that the test replaces. */
function replaceOnce(text: string, from: string, to: string): string {
  if (text.split(from).length !== 2) throw new Error(`the configuration must say "${from}" once`);
  return text.replace(from, () => to);
}

/** Programs on PATH, else Debian's, fetched once without root rights. */
export async function findProxy(name: ProxyName): Promise<{ command: string; libraries: string }> {
  const installed = findExecutable(name, ['/usr/sbin']);
  if (installed !== undefined) return { command: installed, libraries: process.env['LD_LIBRARY_PATH'] ?? '' };
  const command = join(ROOT, 'usr', RECIPES[name].program);
  await withLock(`${ROOT}.lock`, async () => {
    if (existsSync(command)) return;
    await fetchDebianPrograms(PROXIES, ROOT).catch((error: unknown) => {
      throw new Error(
        `The tests need ${PROXIES.join(', ')}: install them with "sudo apt-get install nginx-light haproxy caddy". ` +
          `Fetching them failed: ${error instanceof Error ? error.message : String(error)}`,
      );
    });
  });
  return { command, libraries: libraryPath(ROOT) };
}
