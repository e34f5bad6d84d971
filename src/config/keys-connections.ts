import { fixed, type Keys } from './key.ts';
import { choice, share, whole } from './kinds.ts';

const DEFAULT_HEARTBEAT_TIMEOUT_MS = 10_000;
const DEFAULT_PING_INTERVAL_MS = 3000;
/** Connections of one node. Few machines allow that many file descriptors by default. */
export const DEFAULT_MAX_CONNECTIONS = 100_000;

/** Heartbeat, queues, sessions and limits. */
export const connectionKeys = {
  heartbeatTimeoutMs: {
    variable: 'LINGXI_HEARTBEAT_TIMEOUT_MS',
    kind: whole(200, 3_600_000, 'ms'),
    ...fixed(DEFAULT_HEARTBEAT_TIMEOUT_MS),
    about: 'The server logs a user out after this time without a proof of life.',
  },
  httpTimeoutMs: {
    variable: 'LINGXI_HTTP_TIMEOUT_MS',
    kind: whole(200, 3_600_000, 'ms'),
    ...fixed(15_000),
    about: 'The same time after a proof of life by HTTP.',
  },
  heartbeatMode: {
    variable: 'LINGXI_HEARTBEAT_MODE',
    kind: choice('auto', 'any', 'client'),
    ...fixed('auto'),
    about:
      'What proves that a client is alive. `auto`: any frame of a `lingxi.v1` client, messages only of other clients. `any`: any frame. `client`: messages only.',
  },
  pingIntervalMs: {
    variable: 'LINGXI_PING_INTERVAL_MS',
    kind: whole(50, 3_600_000, 'ms'),
    defaultText: '`3000`, or 3/10 of `LINGXI_HEARTBEAT_TIMEOUT_MS` where that is less',
    defaultValue: ({ given }) =>
      Math.min(
        DEFAULT_PING_INTERVAL_MS,
        Math.floor((given.heartbeatTimeoutMs ?? DEFAULT_HEARTBEAT_TIMEOUT_MS) * 0.3),
      ),
    about: 'The server pings a silent connection after this time, if its pongs prove life.',
  },
  massTimeoutShare: {
    variable: 'LINGXI_MASS_TIMEOUT_SHARE',
    kind: share,
    ...fixed(0.2),
    about:
      'If more than this share of a node’s users, and at least 50, would time out within a second, the server holds their timeouts back once. 0 = off.',
  },
  readTimeoutMs: {
    variable: 'LINGXI_READ_TIMEOUT_MS',
    kind: whole(200, 3_600_000, 'ms'),
    ...fixed(60_000),
    about: 'The server closes a socket after this time without any byte from the client.',
  },
  writeTimeoutMs: {
    variable: 'LINGXI_WRITE_TIMEOUT_MS',
    kind: whole(50, 3_600_000, 'ms'),
    ...fixed(10_000),
    about: 'The server closes a receiver with 4101 if it takes no byte for this time.',
  },
  keepAliveTimeoutMs: {
    variable: 'LINGXI_KEEPALIVE_TIMEOUT_MS',
    kind: whole(1000, 3_600_000, 'ms'),
    ...fixed(75_000),
    about:
      'The server keeps an idle HTTP connection open for this time after an answer. Set it longer than the load balancer’s idle time. At most 251000 on Bun.',
  },
  dispatchQueue: {
    variable: 'LINGXI_DISPATCH_QUEUE',
    kind: whole(1, 1_000_000, 'messages'),
    ...fixed(256),
    about:
      'Size of the dispatch queue: messages to many users that are accepted but not yet handed to connections.',
  },
  sendQueue: {
    variable: 'LINGXI_SEND_QUEUE',
    kind: whole(1, 65_536, 'messages'),
    ...fixed(64),
    about: 'Size of each connection’s send queue, in messages that wait behind the socket.',
  },
  sendQueueBytes: {
    variable: 'LINGXI_SEND_QUEUE_BYTES',
    kind: whole(1, 1_073_741_824, 'bytes'),
    ...fixed(1_048_576),
    about: 'Size of each connection’s send queue in bytes.',
  },
  overflow: {
    variable: 'LINGXI_OVERFLOW',
    kind: choice('drop-newest', 'drop-oldest', 'conflate', 'disconnect'),
    ...fixed('drop-newest'),
    about: 'What the server does when a send queue is full.',
  },
  pushRatePerUser: {
    variable: 'LINGXI_PUSH_RATE_PER_USER',
    kind: whole(0, 1_000_000, 'messages a second'),
    ...fixed(0),
    about: 'Messages a second to one user. More are dropped with the reason `rate`. 0 = off.',
  },
  sessionPolicy: {
    variable: 'LINGXI_SESSION_POLICY',
    kind: choice('replace', 'reject', 'multi'),
    ...fixed('replace'),
    about: 'Session policy: a user’s second connection replaces the first, is rejected, or joins it.',
    seed: { value: 'multi', risk: 'several people can play one account at the same time' },
  },
  maxConnectionsPerUser: {
    variable: 'LINGXI_MAX_CONNECTIONS_PER_USER',
    kind: whole(1, 10_000, 'connections'),
    ...fixed(5),
    about: 'Connections of one user under the policy `multi`. One more gets 409.',
  },
  maxGroupsPerUser: {
    variable: 'LINGXI_MAX_GROUPS_PER_USER',
    kind: whole(1, 1000, 'groups'),
    ...fixed(50),
    about:
      'Groups of one user, by the service and by tokens. The service adds to no more; a token that names more gets 401.',
  },
  maxConnections: {
    variable: 'LINGXI_MAX_CONNECTIONS',
    kind: whole(1, 10_000_000, 'connections'),
    ...fixed(DEFAULT_MAX_CONNECTIONS),
    about: 'Connections of this node. One more gets 503.',
  },
  maxConnectionsPerIp: {
    variable: 'LINGXI_MAX_CONNECTIONS_PER_IP',
    kind: whole(0, 10_000_000, 'connections'),
    ...fixed(0),
    about: 'Connections of one IPv4 address or IPv6 /64. One more gets 429. 0 = off.',
  },
  maxMessageBytes: {
    variable: 'LINGXI_MAX_MESSAGE_BYTES',
    kind: whole(16, 134_217_728, 'bytes'),
    ...fixed(65_536),
    about: 'Size of one inbound message. The server closes with 1009 beyond it.',
  },
  maxMessagesPerSecond: {
    variable: 'LINGXI_MAX_MESSAGES_PER_SECOND',
    kind: whole(1, 1_000_000, 'messages a second'),
    ...fixed(50),
    about: 'Inbound messages of one connection. The server closes with 1008 beyond it.',
  },
  maxBodyBytes: {
    variable: 'LINGXI_MAX_BODY_BYTES',
    kind: whole(16, 1_073_741_824, 'bytes'),
    ...fixed(1_048_576),
    about: 'Size of one HTTP body. A larger one gets 413.',
  },
  loginsPerMinute: {
    variable: 'LINGXI_LOGINS_PER_MINUTE',
    kind: whole(0, 1_000_000, 'periods a minute'),
    ...fixed(60),
    about:
      'Periods that one user may open per minute, on one node. One more gets 429. Joining a running period does not count. 0 = off.',
  },
} satisfies Partial<Keys>;
