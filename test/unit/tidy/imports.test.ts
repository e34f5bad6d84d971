import { describe, expect, it } from 'vitest';
import { filesOf, importsOf, textOf } from './repository.ts';

/** The modules from the lowest to the highest. A module imports only from lower levels, never from its own. */
const LEVELS: readonly (readonly string[])[] = [
  ['lib'],
  ['protocol'],
  ['metrics', 'config', 'logging', 'heartbeat', 'redis', 'client'],
  ['settlement', 'connection'],
  ['cluster'],
  ['presence'],
  ['gateway', 'overview', 'game'],
  ['http'],
  ['composition'],
  ['cli'],
];

/**
 * The permitted imports of each module: a whole module (`lib/`), or one file of it. A file that two modules share is a port:
 * types, and what belongs to them. The linter checks cycles between files.
 */
const MODULES: Readonly<Record<string, readonly string[]>> = {
  lib: [],
  protocol: [],
  client: ['protocol/'],
  heartbeat: ['lib/'],
  config: ['lib/'],
  logging: ['lib/clock.ts'],
  metrics: ['protocol/'],
  redis: ['lib/'],
  connection: [
    'heartbeat/',
    'lib/',
    'logging/internal-error.ts',
    'logging/log.ts',
    'metrics/counters.ts',
    'protocol/',
  ],
  settlement: ['config/config.ts', 'config/make-folder.ts', 'lib/', 'logging/log.ts', 'protocol/'],
  cluster: [
    'connection/',
    'lib/',
    'logging/internal-error.ts',
    'logging/log.ts',
    'metrics/counters.ts',
    'protocol/',
    'redis/link.ts',
    'redis/timed-out.ts',
  ],
  presence: [
    'cluster/bus.ts',
    'cluster/node-directory.ts',
    'cluster/post.ts',
    'connection/',
    'heartbeat/',
    'lib/',
    'logging/internal-error.ts',
    'logging/log.ts',
    'metrics/counters.ts',
    'protocol/',
    'redis/link.ts',
  ],
  gateway: [
    'config/config.ts',
    'config/make-folder.ts',
    'connection/connection-info.ts',
    'connection/socket.ts',
    'lib/',
    'logging/internal-error.ts',
    'logging/log.ts',
    'metrics/counters.ts',
    'presence/api.ts',
    'protocol/',
  ],
  overview: [
    'cluster/node-calls.ts',
    'cluster/nodes.ts',
    'connection/connection-info.ts',
    'lib/',
    'logging/internal-error.ts',
    'logging/log.ts',
    'metrics/counters.ts',
    'presence/api.ts',
    'protocol/',
  ],
  game: ['lib/', 'logging/internal-error.ts', 'logging/log.ts'],
  http: [
    'cluster/nodes.ts',
    'cluster/push-request.ts',
    'cluster/router.ts',
    'config/config.ts',
    'config/shown-config.ts',
    'overview/api.ts',
    'gateway/credentials.ts',
    'lib/',
    'logging/internal-error.ts',
    'logging/log.ts',
    'metrics/',
    'presence/api.ts',
    'protocol/',
  ],
};

/** The files and the folder that may import every module: they join the modules, or are the commands. */
const COMPOSITION = [
  'create-config.ts',
  'create-dashboard.ts',
  'create-gateway.ts',
  'create-identification.ts',
  'create-messaging.ts',
  'create-operations.ts',
  'create-presence.ts',
  'create-redis-presence.ts',
  'create-settlement.ts',
  'create-warnings.ts',
  'gateway-assembly.ts',
  'index.ts',
  'random-ids.ts',
  'stop-list.ts',
  'cli/',
];

/** The files that may import each package. A package that is not listed may not be imported at all. */
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
  react: ['client/react.ts'],
  vue: ['client/seed-composables.ts', 'client/vue.ts'],
  ws: ['gateway/node-server.ts', 'gateway/node-socket.ts', 'cli/socket-client.ts'],
  zod: ['cluster/push-request.ts'],
};

/** Modules that work on every JavaScript runtime: they import neither Node nor Bun. */
const PURE_MODULES = ['lib', 'protocol', 'heartbeat', 'connection', 'metrics', 'cluster', 'client'];

const FILES = filesOf(['src'], ['.ts']).map((file) => ({
  path: inSource(file.path),
  imports: importsOf(file).map(inSource),
}));

function inSource(path: string): string {
  return path.replace(/^src\//, '');
}

function moduleOf(path: string): string {
  return path.includes('/') ? path.slice(0, path.indexOf('/')) : 'composition';
}

/** The modules that each module imports, with one example of each import. */
type ModuleGraph = ReadonlyMap<string, ReadonlyMap<string, string>>;

interface SourceImports {
  readonly path: string;
  readonly imports: readonly string[];
}

function moduleGraph(files: readonly SourceImports[]): ModuleGraph {
  const graph = new Map<string, Map<string, string>>();
  for (const { path, imports } of files) {
    const from = moduleOf(path);
    const arrows = graph.get(from) ?? new Map<string, string>();
    graph.set(from, arrows);
    for (const target of imports.filter(isOurs))
      if (moduleOf(target) !== from) arrows.set(moduleOf(target), `${path} imports ${target}`);
  }
  return graph;
}

/** Imports that do not lead to a lower level. */
function arrowsUp(graph: ModuleGraph): readonly string[] {
  const levelOf = (module: string): number => LEVELS.findIndex((level) => level.includes(module));
  return [...graph].flatMap(([from, arrows]) =>
    [...arrows].filter(([to]) => levelOf(to) >= levelOf(from)).map(([, example]) => example),
  );
}

/** Modules that lead back to themselves, each with the path. */
function cyclesOf(graph: ModuleGraph): readonly string[] {
  const found: string[] = [];
  const done = new Set<string>();
  const follow = (module: string, way: readonly string[]): void => {
    if (way.includes(module)) found.push([...way.slice(way.indexOf(module)), module].join(' → '));
    if (way.includes(module) || done.has(module)) return;
    for (const next of graph.get(module)?.keys() ?? []) follow(next, [...way, module]);
    done.add(module);
  };
  for (const module of graph.keys()) follow(module, []);
  return found;
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
  const module = moduleOf(path);
  if (isAmong(path, COMPOSITION))
    return target !== 'index.ts' && (module === 'cli' || moduleOf(target) !== 'cli');
  if (moduleOf(target) === module) return true;
  return isAmong(target, MODULES[module] ?? []);
}

/** The files that are loaded together with a file: its imports and theirs, without types and without later imports. */
function loadedWith(path: string, loaded = new Set<string>()): ReadonlySet<string> {
  if (loaded.has(path)) return loaded;
  loaded.add(path);
  const text = textOf(`src/${path}`) ?? '';
  const atOnce = text.replaceAll(/^import type [^;]+;/gm, '').replaceAll(/\bimport\(/g, 'later(');
  for (const target of importsOf({ path: `src/${path}`, text: atOnce })) loadedWith(inSource(target), loaded);
  return loaded;
}

function offenders(isForbidden: (path: string, target: string) => boolean): readonly string[] {
  return FILES.flatMap(({ path, imports }) =>
    imports.filter((target) => isForbidden(path, target)).map((target) => `${path} imports ${target}`),
  );
}

describe('imports', () => {
  it('are found', () => {
    expect(FILES.find(({ path }) => path === 'gateway-assembly.ts')?.imports).toContain('http/app.ts');
    expect(FILES.find(({ path }) => path === 'cli/serve.ts')?.imports).toContain('cli/run-server.ts');
  });

  it('every folder is a module with its row and level in the table', () => {
    const modules = [...new Set(FILES.map(({ path }) => moduleOf(path)))].sort();
    expect(modules).toEqual([...Object.keys(MODULES), 'composition', 'cli'].sort());
    expect(modules).toEqual([...LEVELS.flat()].sort());
  });

  it('point down between modules', () => {
    expect(arrowsUp(moduleGraph(FILES))).toEqual([]);
  });

  it('form no cycle of modules', () => {
    expect(cyclesOf(moduleGraph(FILES))).toEqual([]);
  });

  it('a planted import that points up, or to a module of the same level, is found', () => {
    const up = { path: 'cluster/bus.ts', imports: ['presence/api.ts', 'lib/clock.ts'] };
    const sideways = { path: 'settlement/settler.ts', imports: ['connection/socket.ts'] };
    expect(arrowsUp(moduleGraph([up, sideways]))).toEqual([
      'cluster/bus.ts imports presence/api.ts',
      'settlement/settler.ts imports connection/socket.ts',
    ]);
  });

  it('a planted cycle of modules is found, though no files form one', () => {
    const planted = [
      { path: 'redis/link.ts', imports: ['config/config.ts', 'lib/clock.ts'] },
      { path: 'config/load.ts', imports: ['logging/log.ts'] },
      { path: 'logging/pino-log.ts', imports: ['redis/url.ts'] },
    ];
    expect(cyclesOf(moduleGraph(planted))).toEqual(['redis → config → logging → redis']);
  });

  it('lead only to the ports of other modules', () => {
    expect(offenders((path, target) => isOurs(target) && !mayImport(path, target))).toEqual([]);
  });

  it('of drivers and frameworks are only in the files that wrap them', () => {
    const isForeign = (target: string): boolean => !isOurs(target) && !target.startsWith('node:');
    expect(
      offenders((path, target) => isForeign(target) && !isAmong(path, PACKAGES[packageOf(target)] ?? [])),
    ).toEqual([]);
  });

  it('load the clients of Redis and PostgreSQL, and the server of Node, only in a process that uses them', () => {
    const loaded = loadedWith('cli/run-server.ts');
    expect(loaded).toContain('libsql');
    expect(loaded).toContain('http/app.ts');
    expect(['ioredis', 'pg', 'ws', '@hono/node-server'].filter((name) => loaded.has(name))).toEqual([]);
  });

  it('keep the runtime out of the modules without a network', () => {
    expect(
      offenders((path, target) => target.startsWith('node:') && PURE_MODULES.includes(moduleOf(path))),
    ).toEqual([]);
  });

  it('the table allows nothing that is unused', () => {
    const unused = Object.entries(MODULES).flatMap(([module, entries]) =>
      entries
        .filter((entry) => {
          const own = FILES.filter(({ path }) => moduleOf(path) === module);
          return !own.some(({ imports }) => imports.some((target) => isAmong(target, [entry])));
        })
        .map((entry) => `${module}: ${entry}`),
    );
    expect(unused).toEqual([]);
  });

  it('the tables name nothing that no longer exists', () => {
    const named = [...Object.values(MODULES).flat(), ...COMPOSITION, ...Object.values(PACKAGES).flat()];
    const gone = named.filter((entry) => !entry.endsWith('/') && textOf(`src/${entry}`) === undefined);
    expect(gone).toEqual([]);
    const manifest = JSON.parse(textOf('package.json') ?? '{}') as Record<
      'dependencies' | 'peerDependencies',
      Record<string, string>
    >;
    const declared = { ...manifest.dependencies, ...manifest.peerDependencies };
    expect(Object.keys(PACKAGES).sort()).toEqual(Object.keys(declared).sort());
  });
});
