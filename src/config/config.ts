/** The whole configuration after validation. Names follow the variables of the contract and include the unit. */
export interface Config {
  readonly port: number;
  readonly host: string;
  readonly environment: 'development' | 'production' | 'test';
  readonly profile: 'none' | 'seed';
  readonly runtime: 'bun' | 'node' | 'auto';
  /** One or two secrets; the first signs. Empty if only a public key or JWKS is used. */
  readonly jwtSecrets: readonly string[];
  readonly jwtPublicKey: string | undefined;
  readonly jwtJwksUrl: string | undefined;
  readonly jwtIssuer: string | undefined;
  readonly jwtAudience: string | undefined;
  readonly apiKeys: readonly string[];
  /** Keys that may only read. Empty: there is none. */
  readonly viewKeys: readonly string[];
  readonly redisUrl: string | undefined;
  readonly databaseUrl: string | undefined;
  readonly dataDir: string;
  readonly redisTimeoutMs: number;
  readonly sqlPool: number;
  readonly sqlTimeoutMs: number;
  readonly migrate: 'auto' | 'check';
  readonly nodeName: string;
  readonly heartbeatTimeoutMs: number;
  readonly httpTimeoutMs: number;
  readonly heartbeatMode: 'auto' | 'any' | 'client';
  readonly pingIntervalMs: number;
  readonly massTimeoutShare: number;
  readonly readTimeoutMs: number;
  readonly writeTimeoutMs: number;
  readonly keepAliveTimeoutMs: number;
  readonly dispatchQueue: number;
  readonly sendQueue: number;
  readonly sendQueueBytes: number;
  readonly overflow: 'drop-newest' | 'drop-oldest' | 'conflate' | 'disconnect';
  readonly pushRatePerUser: number;
  readonly sessionPolicy: 'replace' | 'reject' | 'multi';
  readonly maxConnectionsPerUser: number;
  readonly maxGroupsPerUser: number;
  readonly maxConnections: number;
  readonly maxConnectionsPerIp: number;
  readonly maxMessageBytes: number;
  readonly maxMessagesPerSecond: number;
  readonly maxBodyBytes: number;
  /** Largest number of periods that a user may open a minute. 0: no limit. */
  readonly loginsPerMinute: number;
  /** `'any'` for `*`, and in development without a list; `'same-origin'`; otherwise exactly the listed origins. */
  readonly allowedOrigins: 'any' | 'same-origin' | readonly string[];
  readonly trustedProxies: readonly string[];
  readonly usersTable: string;
  readonly usersIdColumn: string;
  readonly usersTimeColumn: string;
  readonly unknownUsers: 'reject' | 'create' | 'ignore';
  readonly loginResetsTime: boolean;
  readonly legacyOpenApi: boolean;
  readonly queryToken: boolean;
  readonly lastSeenTtlS: number;
  readonly periodsRetentionDays: number;
  readonly revocationsRetentionDays: number;
  readonly feedLength: number;
  readonly pushChannel: string;
  /** Largest number of entries in the push stream. 0: this node does not use it. */
  readonly pushStreamLength: number;
  /** Largest number of entries in `lingxi:inbound`. 0: client messages are not written. */
  readonly inboundLength: number;
  readonly shutdownDelayMs: number;
  readonly drainTimeoutMs: number;
  readonly logLevel: 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent';
  readonly language: 'en' | 'zh';
}
