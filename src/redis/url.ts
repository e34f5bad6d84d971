import { err, ok, type Result } from '../lib/result.ts';

export interface HostAndPort {
  readonly host: string;
  readonly port: number;
}

interface Credentials {
  readonly username: string | undefined;
  readonly password: string | undefined;
}

/** The target of `REDIS_URL`: one server, a master with Sentinels, or a Redis Cluster. */
export type RedisAddress =
  | { readonly kind: 'single'; readonly url: string; readonly database: number }
  | (Credentials & {
      readonly kind: 'sentinel';
      readonly tls: boolean;
      readonly hosts: readonly HostAndPort[];
      readonly master: string;
      readonly database: number;
      /** The password of the Sentinels. The one before the hosts is the master's. */
      readonly sentinel: Credentials;
    })
  | (Credentials & {
      readonly kind: 'cluster';
      readonly tls: boolean;
      readonly hosts: readonly HostAndPort[];
    });

type Kind = RedisAddress['kind'];
type Judged<Value> = Result<Value, { readonly message: string }>;

const EXAMPLES: Readonly<Record<Kind, string>> = {
  single: 'redis://:password@localhost:6379/0',
  sentinel: 'redis+sentinel://:password@s1:26379,s2:26379,s3:26379/mymaster/0',
  cluster: 'redis+cluster://user:password@r1:6379,r2:6379,r3:6379',
};
const PORTS: Readonly<Record<Kind, number>> = { single: 6379, sentinel: 26379, cluster: 6379 };
/** Largest number of hosts in one address. A larger deployment names some of its hosts. */
const MAX_HOSTS = 32;
const SENTINEL_QUERY = ['sentinelUsername', 'sentinelPassword'];
const PARTS = /^(rediss?)(?:\+(sentinel|cluster))?:\/\/([^/?#]*)([^?#]*)(?:\?([^#]*))?$/i;

/** Parses `REDIS_URL`. A failure is one sentence with an example. It repeats nothing of the URL, which may have a password. */
export function parseRedisUrl(url: string): Judged<RedisAddress> {
  const parts = PARTS.exec(url);
  if (parts === null) return refused('single', 'is no Redis address');
  const [, scheme = '', deployment = 'single', authority = '', path = '', query = ''] = parts;
  const kind = deployment.toLowerCase() as Kind;
  const at = authority.lastIndexOf('@');
  const credentials = parseCredentials(kind, authority.slice(0, Math.max(0, at)));
  if (!credentials.ok) return credentials;
  const hosts = parseHosts(kind, authority.slice(at + 1));
  if (!hosts.ok) return hosts;
  const common = { tls: scheme.toLowerCase() === 'rediss', hosts: hosts.value, ...credentials.value };
  if (kind === 'sentinel') return parseSentinel(common, path, query);
  if (kind === 'single') {
    const database = /^\/?(\d{0,5})$/.exec(path)?.[1];
    if (hosts.value.length > 1) return refused(kind, 'names more than one server');
    if (database === undefined) return refused(kind, 'has no database number after the host');
    return ok({ kind, url, database: Number(database) });
  }
  if (!/^\/?0?$/.test(path)) return refused(kind, 'names a database, but a Redis Cluster has none but 0');
  if (query !== '') return refused(kind, 'has a query, which a Redis Cluster takes none of');
  return ok({ kind, ...common });
}

/** The fault of `REDIS_URL`, as one sentence; undefined if the URL is valid. */
export function redisUrlFault(url: string): string | undefined {
  const parsed = parseRedisUrl(url);
  return parsed.ok ? undefined : parsed.error.message;
}

/** The URL without its secrets. */
export function shownRedisUrl(url: string): string {
  const parsed = parseRedisUrl(url);
  if (!parsed.ok) return 'REDIS_URL';
  const address = parsed.value;
  if (address.kind === 'single') {
    const { protocol, host, pathname } = new URL(url);
    return `${protocol}//${host}${pathname}`;
  }
  const hosts = address.hosts.map(shownHost).join(',');
  const path =
    address.kind === 'sentinel' ? `/${encodeURIComponent(address.master)}/${address.database}` : '';
  return `redis${address.tls ? 's' : ''}+${address.kind}://${hosts}${path}`;
}

export function shownHost({ host, port }: HostAndPort): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

function parseSentinel(
  common: Credentials & { readonly tls: boolean; readonly hosts: readonly HostAndPort[] },
  path: string,
  query: string,
): Judged<RedisAddress> {
  const kind = 'sentinel';
  const [, master, database, ...rest] = path.split('/');
  const name = decoded(master ?? '');
  if (name === undefined || !/^[\w.-]{1,128}$/.test(name))
    return refused(kind, 'names no master after the Sentinels');
  if (!/^\d{0,5}$/.test(database ?? '') || rest.some((part) => part !== '')) {
    return refused(kind, 'has no database number after the name of the master');
  }
  const settings = new URLSearchParams(query);
  for (const setting of settings.keys()) {
    if (!SENTINEL_QUERY.includes(setting)) {
      return refused(kind, `has a query that is not known: only ${SENTINEL_QUERY.join(' and ')} are`);
    }
  }
  const sentinel = {
    username: settings.get('sentinelUsername') ?? undefined,
    password: settings.get('sentinelPassword') ?? undefined,
  };
  return ok({ kind, ...common, master: name, database: Number(database ?? 0), sentinel });
}

function parseCredentials(kind: Kind, text: string): Judged<Credentials> {
  const colon = text.indexOf(':');
  const username = decoded(colon < 0 ? text : text.slice(0, colon));
  const password = decoded(colon < 0 ? '' : text.slice(colon + 1));
  return username === undefined || password === undefined
    ? refused(kind, 'has a user name or password whose special characters are not percent-encoded')
    : ok({ username: username || undefined, password: password || undefined });
}

function parseHosts(kind: Kind, text: string): Judged<readonly HostAndPort[]> {
  const hosts: HostAndPort[] = [];
  const items = text.split(',');
  if (items.length > MAX_HOSTS) return refused(kind, `names more than ${MAX_HOSTS} hosts`);
  for (const [index, item] of items.entries()) {
    const found = /^(?:\[([0-9a-f:.%]+)\]|([\w.-]+))(?::(\d{1,5}))?$/i.exec(item);
    const port = Number(found?.[3] ?? PORTS[kind]);
    if (found === null || port < 1 || port > 65_535) {
      const which = items.length === 1 ? 'host' : `host ${index + 1} of ${items.length}`;
      return refused(kind, `has no valid address as its ${which}`);
    }
    hosts.push({ host: found[1] ?? found[2] ?? '', port });
  }
  return ok(hosts);
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

function refused(
  kind: Kind,
  fault: string,
): { readonly ok: false; readonly error: { readonly message: string } } {
  return err({ message: `REDIS_URL ${fault}: write it as in ${EXAMPLES[kind]}.` });
}
