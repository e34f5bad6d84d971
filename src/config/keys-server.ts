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

/** Where the server listens, how it runs, and whom it believes. */
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
      '`production` refuses to start without a JWT key and `LINGXI_API_KEY`, with a secret that can be guessed, and with `REDIS_URL` but no `DATABASE_URL`; `test` has the defaults of development.',
  },
  profile: {
    variable: 'LINGXI_PROFILE',
    kind: choice('none', 'seed'),
    ...fixed('none'),
    about:
      '`seed` sets, unless given otherwise, what programs written for the seed’s Go server expect; each change is printed at start with its risk.',
  },
  runtime: {
    variable: 'LINGXI_RUNTIME',
    kind: choice('auto', 'bun', 'node'),
    ...fixed('auto'),
    about: 'What `npm start` and `lingxi serve` run on; `auto` takes Bun where it is installed, else Node.',
  },
  logLevel: {
    variable: 'LOG_LEVEL',
    kind: choice('fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'),
    ...fixed('info'),
    about: 'The least severe level that is logged.',
  },
  language: {
    variable: 'LINGXI_LANGUAGE',
    kind: choice('en', 'zh'),
    ...fixed('en'),
    about:
      'Language of error sentences for a client that prefers neither, and of the name of a user whose token has none.',
    seed: { value: 'zh', risk: 'clients that state no language get Chinese error sentences' },
  },
  nodeName: {
    variable: 'LINGXI_NODE_NAME',
    kind: matching(
      /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/,
      'a name of at most 63 letters, digits, dots, hyphens or underscores',
    ),
    defaultText: 'host name',
    defaultValue: ({ hostname }) => hostname.replace(/[^A-Za-z0-9._-]/g, '-').slice(0, 63) || 'node',
    about: 'Name of this node; each start adds a fresh incarnation to it.',
  },
  shutdownDelayMs: {
    variable: 'LINGXI_SHUTDOWN_DELAY_MS',
    kind: whole(0, 600_000, 'ms'),
    defaultText: '`0` in development, else `5000`',
    defaultValue: ({ environment }) => (isDevelopment(environment) ? 0 : 5000),
    about:
      'Time after SIGTERM in which the node says that it is not ready but still serves and accepts connections, until load balancers have noticed.',
  },
  drainTimeoutMs: {
    variable: 'LINGXI_DRAIN_TIMEOUT_MS',
    kind: whole(0, 600_000, 'ms'),
    ...fixed(30_000),
    about:
      'Time from the end of that delay to the exit, at most; connections are closed at an even pace over two thirds of it.',
  },
  jwtSecrets: {
    variable: 'JWT_SECRET',
    kind: secretPair,
    defaultText: 'development: made once and kept in the data folder',
    defaultValue: () => [],
    secret: true,
    about:
      'HS256 secret of at least 32 bytes; two, comma separated, while rotating: the first signs, both verify.',
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
      'Where the keys that verify RS256 or ES256 tokens are fetched. A user and a password in it are sent as `Authorization: Basic`.',
  },
  jwtIssuer: {
    variable: 'JWT_ISSUER',
    kind: matching(/^[^\p{Cc}]{1,500}$/u, 'the text of the `iss` claim'),
    ...unset,
    about: 'The `iss` that a token must carry; not checked where unset.',
  },
  jwtAudience: {
    variable: 'JWT_AUDIENCE',
    kind: matching(/^[^\p{Cc}]{1,500}$/u, 'the text of the `aud` claim'),
    ...unset,
    about: 'The `aud` that a token must carry; not checked where unset.',
  },
  apiKeys: {
    variable: 'LINGXI_API_KEY',
    kind: secretPair,
    defaultText:
      'development: made once and kept in the data folder; printed to a terminal once, else only its file’s path',
    defaultValue: () => [],
    secret: true,
    about: 'Service credential, in production of at least 24 bytes; two, comma separated, while rotating.',
  },
  allowedOrigins: {
    variable: 'LINGXI_ALLOWED_ORIGINS',
    kind: origins,
    defaultText: 'same origin; any in development',
    defaultValue: ({ environment }) => (isDevelopment(environment) ? 'any' : 'same-origin'),
    about: 'Exact list of origins that may connect, `*` for any; also CORS on `/api/*`.',
  },
  trustedProxies: {
    variable: 'LINGXI_TRUSTED_PROXIES',
    kind: cidrs,
    defaultText: 'none',
    defaultValue: () => [],
    about: 'Address ranges whose `X-Forwarded-For` is believed.',
  },
  queryToken: {
    variable: 'LINGXI_QUERY_TOKEN',
    kind: flag,
    defaultText: '`true` in development, else `false`',
    defaultValue: ({ environment }) => isDevelopment(environment),
    about: 'Whether `?token=` is accepted; it is never logged here.',
    seed: { value: true, risk: 'tokens in addresses end up in the logs of proxies and in browser histories' },
  },
  legacyOpenApi: {
    variable: 'LINGXI_LEGACY_OPEN_API',
    kind: flag,
    ...fixed(false),
    about:
      'The five `/api/online/` endpoints of the seed (login, heartbeat, logout, players, player) need no credential.',
    seed: {
      value: true,
      risk: 'whoever reaches the port can log any user in and out and list who is online',
    },
  },
  dataDir: {
    variable: 'LINGXI_DATA_DIR',
    kind: path,
    ...fixed('./data'),
    about: 'Folder of the embedded database and of the development secrets.',
  },
} satisfies Partial<Keys>;
