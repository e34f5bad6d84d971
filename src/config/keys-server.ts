import { fixed, isDevelopment, type Keys, unset } from './key.ts';
import {
  choice,
  cidrs,
  flag,
  matching,
  origins,
  path,
  publicKey,
  secretPair,
  webAddress,
  whole,
} from './kinds.ts';

/** Where the server listens, how it runs, and which credentials it accepts. */
export const serverKeys = {
  port: {
    variable: 'PORT',
    kind: whole(0, 65_535, '0 takes a free port'),
    ...fixed(3000),
    about: 'Port to listen on.',
  },
  host: {
    variable: 'HOST',
    kind: matching(/^[A-Za-z0-9.:_[\]-]{1,253}$/, 'a host name or address such as localhost, 0.0.0.0 or ::'),
    defaultText: '`localhost` (127.0.0.1 and ::1) in development, `0.0.0.0` in production',
    defaultValue: ({ environment }) => (isDevelopment(environment) ? 'localhost' : '0.0.0.0'),
    about: 'Address to listen on.',
  },
  environment: {
    variable: 'NODE_ENV',
    kind: choice('development', 'production', 'test'),
    ...fixed('development'),
    about:
      '`production` refuses to start without a JWT key, without `LINGXI_API_KEY`, with a secret that can be guessed, or with `REDIS_URL` but no `DATABASE_URL`. `test` has the defaults of development.',
  },
  profile: {
    variable: 'LINGXI_PROFILE',
    kind: choice('none', 'seed'),
    ...fixed('none'),
    about:
      '`seed` sets what programs written for the Go server that Lingxi replaces expect, unless you set it yourself. The start prints each change with its risk.',
  },
  runtime: {
    variable: 'LINGXI_RUNTIME',
    kind: choice('auto', 'bun', 'node'),
    ...fixed('auto'),
    about: 'The runtime of `npm start` and `lingxi serve`. `auto` takes Bun if it is installed, else Node.',
  },
  logLevel: {
    variable: 'LOG_LEVEL',
    kind: choice('fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'),
    ...fixed('info'),
    about: 'The server logs this level and all more severe ones.',
  },
  language: {
    variable: 'LINGXI_LANGUAGE',
    kind: choice('en', 'zh'),
    ...fixed('en'),
    about:
      'Language of error sentences if the client prefers neither. Also the language of the default name of a user whose token has no name.',
    seed: { value: 'zh', risk: 'clients that send no language get Chinese error sentences' },
  },
  nodeName: {
    variable: 'LINGXI_NODE_NAME',
    kind: matching(
      /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/,
      'a name of at most 63 letters, digits, dots, hyphens or underscores',
    ),
    defaultText: 'host name',
    defaultValue: ({ hostname }) => hostname.replace(/[^A-Za-z0-9._-]/g, '-').slice(0, 63) || 'node',
    about: 'Name of this node. Each start adds a new incarnation to it.',
  },
  shutdownDelayMs: {
    variable: 'LINGXI_SHUTDOWN_DELAY_MS',
    kind: whole(0, 600_000, 'ms'),
    defaultText: '`0` in development, else `5000`',
    defaultValue: ({ environment }) => (isDevelopment(environment) ? 0 : 5000),
    about:
      'For this time after SIGTERM the node reports that it is not ready but still serves and accepts connections, so that load balancers can notice.',
  },
  drainTimeoutMs: {
    variable: 'LINGXI_DRAIN_TIMEOUT_MS',
    kind: whole(0, 600_000, 'ms'),
    ...fixed(30_000),
    about:
      'Longest time from the end of that delay to the exit. The node closes its connections at an even pace over two thirds of it. If a store does not answer, a timeout below 7 s is exceeded, by at most 2 s.',
  },
  jwtSecrets: {
    variable: 'JWT_SECRET',
    kind: secretPair,
    defaultText: 'development: the server makes one and keeps it in the data folder',
    defaultValue: () => [],
    secret: true,
    about:
      'HS256 secret of at least 32 bytes. Give two, separated by a comma, while you rotate: the server signs with the first and accepts both.',
  },
  jwtPublicKey: {
    variable: 'JWT_PUBLIC_KEY',
    kind: publicKey,
    ...unset,
    secret: true,
    about: 'PEM key that verifies RS256 or ES256 tokens.',
  },
  jwtJwksUrl: {
    variable: 'JWT_JWKS_URL',
    kind: webAddress,
    ...unset,
    secret: true,
    about:
      'The server fetches the keys that verify RS256 or ES256 tokens from here. It sends a user and password in the address as `Authorization: Basic`.',
  },
  jwtIssuer: {
    variable: 'JWT_ISSUER',
    kind: matching(/^[^\p{Cc}]{1,500}$/u, 'the text of the `iss` claim'),
    ...unset,
    about: 'The `iss` that a token must carry. Not checked if unset.',
  },
  jwtAudience: {
    variable: 'JWT_AUDIENCE',
    kind: matching(/^[^\p{Cc}]{1,500}$/u, 'the text of the `aud` claim'),
    ...unset,
    about: 'The `aud` that a token must carry. Not checked if unset.',
  },
  apiKeys: {
    variable: 'LINGXI_API_KEY',
    kind: secretPair,
    defaultText:
      'development: the server makes one and keeps it in the data folder; it prints the key once to a terminal, otherwise only the path of its file',
    defaultValue: () => [],
    secret: true,
    about:
      'Service key, in production of at least 24 bytes. Give two, separated by a comma, while you rotate.',
  },
  viewKeys: {
    variable: 'LINGXI_VIEW_KEY',
    kind: secretPair,
    defaultText: 'none',
    defaultValue: () => [],
    secret: true,
    about:
      'Read-only key, for the dashboard and for monitors: it may read what the service key may read, and change nothing. In production of at least 24 bytes. Give two, separated by a comma, while you rotate.',
  },
  allowedOrigins: {
    variable: 'LINGXI_ALLOWED_ORIGINS',
    kind: origins,
    defaultText: 'same origin; any in development',
    defaultValue: ({ environment }) => (isDevelopment(environment) ? 'any' : 'same-origin'),
    about: 'Exact list of origins that may connect; `*` allows any. Also used for CORS on `/api/*`.',
  },
  trustedProxies: {
    variable: 'LINGXI_TRUSTED_PROXIES',
    kind: cidrs,
    defaultText: 'none',
    defaultValue: () => [],
    about: 'Address ranges of your proxies. The server believes `X-Forwarded-For` from these only.',
  },
  queryToken: {
    variable: 'LINGXI_QUERY_TOKEN',
    kind: flag,
    defaultText: '`true` in development, else `false`',
    defaultValue: ({ environment }) => isDevelopment(environment),
    about: 'Whether the server accepts `?token=`. The server never logs it.',
    seed: { value: true, risk: 'tokens in addresses end up in the logs of proxies and in browser histories' },
  },
  legacyOpenApi: {
    variable: 'LINGXI_LEGACY_OPEN_API',
    kind: flag,
    ...fixed(false),
    about:
      'Five `/api/online/` endpoints (login, heartbeat, logout, players, player) need no credential, as in the Go server that Lingxi replaces.',
    seed: {
      value: true,
      risk: 'anybody who reaches the port can log any user in and out and list who is online',
    },
  },
  dataDir: {
    variable: 'LINGXI_DATA_DIR',
    kind: path,
    ...fixed('./data'),
    about: 'Folder of the embedded database and of the development secrets.',
  },
} satisfies Partial<Keys>;
