import { describeError, errorCode } from './sql-errors.ts';

/** A kind of refusal, recognised by its SQLSTATE, or by its words behind a pooler with one code for everything. */
interface RefusedConnect {
  readonly codes: readonly string[];
  readonly words: RegExp;
  /** The text after "PostgreSQL at <target> ". */
  say(cause: string): string;
}

/** In the order of the checks: the more exact ones come first. */
const REFUSALS: readonly RefusedConnect[] = [
  {
    codes: [],
    words: /unsupported startup parameter/i,
    say: (cause) => {
      const name = /parameter:? "?([\w.]+)/i.exec(cause)?.[1] ?? 'it names';
      return `refuses the startup parameter ${name}: remove it from DATABASE_URL, or let PgBouncer pass over it (ignore_startup_parameters = ${name}).`;
    },
  },
  {
    codes: [],
    words: /statement pooling mode/i,
    say: () =>
      'is behind a PgBouncer that pools statements, and transactions are needed: set its pool_mode to transaction or session.',
  },
  {
    codes: [],
    words: /no pg_hba\.conf entry/i,
    say: (cause) =>
      `does not let this user in from here (${cause}): allow it in pg_hba.conf, or correct DATABASE_URL.`,
  },
  {
    codes: ['28P01', '28000'],
    words: /authentication failed|^SASL:|no such user|role "[^"]*" does not exist/i,
    say: (cause) => `refuses the credentials of DATABASE_URL (${cause}): correct the user or the password.`,
  },
  {
    codes: ['3D000'],
    words: /no such database|database "[^"]*" does not exist/i,
    say: () => 'has no such database: create it, or correct DATABASE_URL.',
  },
  {
    codes: ['53300'],
    words: /too many (?:clients|connections)|no more connections allowed|connection slots are reserved/i,
    say: (cause) =>
      `has no connection left (${cause}): raise its limit, lower LINGXI_SQL_POOL, or end other clients.`,
  },
  {
    codes: ['57P03', '57P01', '57P02'],
    words: /is starting up|is shutting down|in recovery mode/i,
    say: (cause) => `is not ready (${cause}): start again once it is.`,
  },
  {
    codes: ['42501'],
    words: /permission denied for database/i,
    say: (cause) => `does not let this user use the database (${cause}): GRANT CONNECT on it.`,
  },
  {
    codes: ['ENOTFOUND', 'EAI_AGAIN'],
    words: /getaddrinfo/i,
    say: (cause) => `is not found (${cause}): correct the host in DATABASE_URL.`,
  },
  {
    codes: [],
    words: /\b(?:SSL|TLS|certificate|self[- ]signed)\b/i,
    say: (cause) =>
      `cannot be reached by TLS (${cause}): correct sslmode in DATABASE_URL, or the certificate.`,
  },
];

/** One sentence that says why there is no connection and what to do. It never holds a password. */
export function connectFailure(databaseUrl: string, error: unknown): string {
  const target = describeTarget(databaseUrl);
  if (target === undefined) return 'DATABASE_URL is not a postgres:// address: correct it.';
  const cause = describeError(error);
  const code = errorCode(error);
  const known = REFUSALS.find(
    ({ codes, words }) => (code !== undefined && codes.includes(code)) || words.test(cause),
  );
  if (known !== undefined) return `PostgreSQL at ${target} ${known.say(cause)}`;
  if (isAnswer(error)) {
    return `PostgreSQL at ${target} refuses the connection (${cause}, SQLSTATE ${code}): correct DATABASE_URL, or the server.`;
  }
  return `PostgreSQL at ${target} does not answer (${code ?? cause}): start it, or correct DATABASE_URL.`;
}

/** Whether a server or pooler refused the startup parameters, not the connection. */
export function refusesStartupParameter(error: unknown): boolean {
  return /startup parameter/i.test(describeError(error));
}

/** An error of the server has an SQLSTATE; an error of the network has not. */
function isAnswer(error: unknown): boolean {
  return /^[0-9A-Z]{5}$/.test(errorCode(error) ?? '') && error instanceof Error && 'severity' in error;
}

/** Host and database of the address, without user and password. */
function describeTarget(databaseUrl: string): string | undefined {
  if (!/^postgres(?:ql)?:\/\//.test(databaseUrl) || !URL.canParse(databaseUrl)) return undefined;
  const url = new URL(databaseUrl);
  return `${url.host || 'localhost'}${url.pathname}`;
}
