import { relative } from 'node:path';
import type { Config } from '../config/config.ts';
import type { LoadedConfig } from '../config/load.ts';
import { placeOf } from '../config/shown-url.ts';

/**
 * The start text for a developer: the address, and commands to paste. It shows a new key only with `mayShowKey`: on a terminal,
 * once.
 */
export function bannerLines(
  loaded: LoadedConfig,
  gateway: { readonly version: string; readonly port: number; readonly urls: readonly string[] },
  mayShowKey: boolean,
): readonly string[] {
  const { config } = loaded;
  const base = gateway.urls[0] ?? `http://localhost:${gateway.port}`;
  const url = base.endsWith('/') ? base.slice(0, -1) : base;
  const keyFile = loaded.secretFiles.get('apiKeys');
  const key = keyFile === undefined ? '$LINGXI_API_KEY' : `$(cat ${shellWord(shortPath(keyFile))})`;
  // The commands find the development secrets in the data folder.
  const { dataDir } = config;
  const folder = shortPath(dataDir) === 'data' ? '' : `LINGXI_DATA_DIR=${shellWord(shortPath(dataDir))} `;
  return [
    '',
    `  Lingxi ${gateway.version} is listening on ${gateway.urls.join(', ')}`,
    '',
    `  Demo game    ${url}/            break a connection, and see what happens`,
    `  Dashboard    ${url}/dashboard/  who is online`,
    `  Simulator    ${url}/simulator/  nodes that die, in your browser`,
    `  API          ${url}/docs        with forms to try it`,
    `  WebSocket    ${url.replace(/^http/, 'ws')}/ws`,
    '',
    `  Presence: ${config.redisUrl === undefined ? 'in this process' : 'Redis'}. Settlement: ${
      config.databaseUrl === undefined ? `SQLite in ${shortPath(config.dataDir)}` : 'PostgreSQL'
    }. Runtime: ${runtimeName()}.`,
    ...keyLines(loaded, mayShowKey),
    '',
    '  Try it in another terminal:',
    '',
    '    # a token for user 1, and a client that sends a heartbeat each second',
    `    curl -s '${url}/dev/token?userId=1'`,
    `    ${folder}npx lingxi probe --url ${url} --user 1`,
    '',
    '    # a message to that user',
    `    curl -s ${url}/api/messages -H "Authorization: Bearer ${key}" \\`,
    `      -H 'Content-Type: application/json' \\`,
    `      -d '{"to":{"userId":1},"type":"system_notice","data":{"text":"hello"}}'`,
    '',
    '    # everything at once',
    `    ${folder}npx lingxi doctor --url ${url}`,
    '',
  ];
}

function keyLines(loaded: LoadedConfig, mayShowKey: boolean): readonly string[] {
  const made = loaded.newSecrets.find(({ variable }) => variable === 'LINGXI_API_KEY');
  if (made !== undefined && mayShowKey) {
    return [`  Service key, shown this once and kept in ${shortPath(made.path)}: ${made.value}`];
  }
  const file = loaded.secretFiles.get('apiKeys');
  return file === undefined ? [] : [`  Service key: in ${shortPath(file)}`];
}

export function runtimeName(): string {
  const { bun, node } = process.versions;
  return bun === undefined ? `Node ${node}` : `Bun ${bun}`;
}

/** The addresses of presence and settlements, without user and password. */
export function storeNames(config: Pick<Config, 'redisUrl' | 'databaseUrl' | 'dataDir'>): {
  readonly presence: string;
  readonly settlement: string;
} {
  const { redisUrl, databaseUrl, dataDir } = config;
  return {
    presence: redisUrl === undefined ? 'in this process' : placeOf(redisUrl),
    settlement: databaseUrl === undefined ? `SQLite in ${dataDir}` : placeOf(databaseUrl),
  };
}

function shortPath(path: string): string {
  const short = relative(process.cwd(), path);
  return short.startsWith('..') || short === '' ? path : short;
}

function shellWord(text: string): string {
  return /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
