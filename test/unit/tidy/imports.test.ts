import { describe, expect, it } from 'vitest';
import { filesOf, importsOf, textOf } from './repository.ts';

/**
 * What each room may import beside itself: a whole room (`lib/`), or one file of it. A file that two rooms share is a
 * port: types, and what belongs to them. Imports point down; circles between files are the linter's business.
 */
const ROOMS: Readonly<Record<string, readonly string[]>> = {
  lib: [],
  protocol: [],
  heartbeat: ['lib/'],
  config: ['lib/', 'redis/url.ts'],
  logging: ['config/config.ts'],
  metrics: ['protocol/'],
  redis: ['lib/', 'logging/log.ts'],
  connection: [
    'heartbeat/',
    'lib/',
    'logging/internal-error.ts',
    'logging/log.ts',
    'metrics/counters.ts',
    'protocol/',
  ],
  settlement: [
    'config/config.ts',
    'config/make-folder.ts',
    'lib/',
    'logging/log.ts',
    'presence/node/ledger.ts',
    'protocol/',
  ],
  cluster: [
    'connection/',
    'lib/',
    'logging/internal-error.ts',
    'logging/log.ts',
    'metrics/counters.ts',
    'presence/api.ts',
    'protocol/',
    'redis/',
  ],
  presence: [
    'cluster/node-directory.ts',
    'config/config.ts',
    'connection/',
    'heartbeat/',
    'lib/',
    'logging/internal-error.ts',
    'logging/log.ts',
    'metrics/counters.ts',
    'protocol/',
    'redis/',
    'settlement/user-store.ts',
  ],
  gateway: [
    'config/config.ts',
    'connection/connection-info.ts',
    'connection/socket.ts',
    'lib/',
    'logging/internal-error.ts',
    'logging/log.ts',
    'metrics/counters.ts',
    'presence/api.ts',
    'protocol/',
  ],
  http: [
    'cluster/node-directory.ts',
    'cluster/nodes.ts',
    'cluster/push-request.ts',
    'cluster/router.ts',
    'config/config.ts',
    'connection/connection-info.ts',
    'gateway/credentials.ts',
    'lib/',
    'logging/internal-error.ts',
    'logging/log.ts',
    'metrics/',
    'presence/api.ts',
    'protocol/',
  ],
};

/** The files outside all rooms, and the one room, that may know every other: what joins them, and the commands. */
const COMPOSITION = [
  'create-config.ts',
  'create-gateway.ts',
  'create-identification.ts',
  'create-operations.ts',
  'create-presence.ts',
  'create-settlement.ts',
  'create-warnings.ts',
  'index.ts',
  'cli/',
];

/** Who may know each package. One that is not named here is not imported at all. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  '@clack/prompts': ['cli/'],
  '@hono/node-server': ['gateway/node-server.ts'],
  '@hono/zod-openapi': ['http/'],
  commander: ['cli/'],
  dotenv: ['config/sources.ts'],
  'fast-jwt': ['gateway/token-credentials.ts'],
  hono: ['http/'],
  ioredis: [
    'redis/cluster.ts',
    'redis/connection.ts',
    'redis/connector.ts',
    'redis/link.ts',
    'redis/sentinel.ts',
    'redis/survey.ts',
  ],
  'ipaddr.js': ['config/kinds.ts', 'gateway/client-address.ts', 'lib/counted-address.ts'],
  kysely: ['settlement/'],
  libsql: ['settlement/own-user-store.ts', 'settlement/sqlite.ts'],
  pg: ['settlement/postgres.ts', 'settlement/postgres-pool.ts'],
  pino: ['logging/pino-log.ts'],
  'pino-pretty': ['logging/pino-log.ts'],
  'prom-client': ['metrics/registry.ts'],
  ws: ['gateway/node-server.ts', 'gateway/node-socket.ts', 'cli/socket-client.ts'],
  zod: ['http/'],
};

/** Rooms that are the same on every JavaScript runtime: they know neither Node nor Bun. */
const PURE_ROOMS = ['lib', 'protocol', 'heartbeat', 'connection', 'metrics', 'cluster'];

const FILES = filesOf(['src'], ['.ts']).map((file) => ({
  path: inSource(file.path),
  imports: importsOf(file).map(inSource),
}));

function inSource(path: string): string {
  return path.replace(/^src\//, '');
}

function roomOf(path: string): string {
  return path.includes('/') ? path.slice(0, path.indexOf('/')) : '';
}

/** An entry is a file, or a folder with its closing slash. */
function isAmong(path: string, entries: readonly string[]): boolean {
  return entries.some((entry) => (entry.endsWith('/') ? path.startsWith(entry) : path === entry));
}

function isOurs(target: string): boolean {
  return target.endsWith('.ts');
}

function packageOf(target: string): string {
  return target
    .split('/')
    .slice(0, target.startsWith('@') ? 2 : 1)
    .join('/');
}

function mayImport(path: string, target: string): boolean {
  const room = roomOf(path);
  if (isAmong(path, COMPOSITION))
    return target !== 'index.ts' && (room === 'cli' || roomOf(target) !== 'cli');
  if (roomOf(target) === room) return true;
  return isAmong(target, ROOMS[room] ?? []);
}

function offenders(isForbidden: (path: string, target: string) => boolean): readonly string[] {
  return FILES.flatMap(({ path, imports }) =>
    imports.filter((target) => isForbidden(path, target)).map((target) => `${path} imports ${target}`),
  );
}

describe('imports', () => {
  it('are found at all', () => {
    expect(FILES.find(({ path }) => path === 'create-gateway.ts')?.imports).toContain('http/app.ts');
    expect(FILES.find(({ path }) => path === 'cli/serve.ts')?.imports).toContain('cli/run-server.ts');
  });

  it('every folder is a room with its place', () => {
    const rooms = new Set(FILES.map(({ path }) => roomOf(path)).filter((room) => room !== ''));
    expect([...rooms].sort()).toEqual([...Object.keys(ROOMS), 'cli'].sort());
  });

  it('point down, to ports of other rooms', () => {
    expect(offenders((path, target) => isOurs(target) && !mayImport(path, target))).toEqual([]);
  });

  it('bring drivers and frameworks only to the files that wrap them', () => {
    const isForeign = (target: string): boolean => !isOurs(target) && !target.startsWith('node:');
    expect(
      offenders((path, target) => isForeign(target) && !isAmong(path, PACKAGES[packageOf(target)] ?? [])),
    ).toEqual([]);
  });

  it('leave the rooms without a network free of the runtime', () => {
    expect(
      offenders((path, target) => target.startsWith('node:') && PURE_ROOMS.includes(roomOf(path))),
    ).toEqual([]);
  });

  it('the tables name nothing that is gone', () => {
    const named = [...Object.values(ROOMS).flat(), ...COMPOSITION, ...Object.values(PACKAGES).flat()];
    const gone = named.filter((entry) => !entry.endsWith('/') && textOf(`src/${entry}`) === undefined);
    expect(gone).toEqual([]);
    const manifest = JSON.parse(textOf('package.json') ?? '{}') as { dependencies: Record<string, string> };
    expect(Object.keys(PACKAGES).sort()).toEqual(Object.keys(manifest.dependencies).sort());
  });
});
