import { fixed, type Keys } from './key.ts';
import { choice, share, whole } from './kinds.ts';

const DEFAULT_HEARTBEAT_TIMEOUT_MS = 10_000;
const DEFAULT_PING_INTERVAL_MS = 3000;
/** Connections of one node; few machines allow as many descriptors unasked. */
export const DEFAULT_MAX_CONNECTIONS = 100_000;

/** Heartbeat, queues, sessions and limits. */
export const connectionKeys = {
  heartbeatTimeoutMs: {
    variable: 'LINGXI_HEARTBEAT_TIMEOUT_MS',
    kind: whole(200, 3_600_000, 'ms'),
    ...fixed(DEFAULT_HEARTBEAT_TIMEOUT_MS),
    about: 'Silence after which a user is logged out.',
  },
  httpTimeoutMs: {
    variable: 'LINGXI_HTTP_TIMEOUT_MS',
    kind: whole(200, 3_600_000, 'ms'),
    ...fixed(15_000),
    about: 'The same for a proof of life by HTTP.',
  },
  heartbeatMode: {
    variable: 'LINGXI_HEARTBEAT_MODE',
    kind: choice('auto', 'any', 'client'),
    ...fixed('auto'),
    about:
      'What proves life: `auto` messages for seed clients and any frame for `lingxi.v1`, `any` any frame, `client` messages only.',
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
    about: 'Silence after which the server pings a connection whose pongs count.',
  },
  massTimeoutShare: {
    variable: 'LINGXI_MASS_TIMEOUT_SHARE',
    kind: share,
    ...fixed(0.2),
    about: 'Share of a node’s users, at least 50, whose timeouts within a second are held once; 0 = off.',
  },
  readTimeoutMs: {
    variable: 'LINGXI_READ_TIMEOUT_MS',
    kind: whole(200, 3_600_000, 'ms'),
    ...fixed(60_000),
    about: 'Time without any byte after which a socket is closed.',
  },
  writeTimeoutMs: {
    variable: 'LINGXI_WRITE_TIMEOUT_MS',
    kind: whole(50, 3_600_000, 'ms'),
    ...fixed(10_000),
    about: 'Time without taking any byte after which a receiver is closed 4101.',
  },
  keepAliveTimeoutMs: {
    variable: 'LINGXI_KEEPALIVE_TIMEOUT_MS',
    kind: whole(1000, 3_600_000, 'ms'),
    ...fixed(75_000),
    about:
      'Time that an idle HTTP connection is kept after an answer; longer than the load balancer keeps it. At most 251000 on Bun.',
  },
  dispatchQueue: {
    variable: 'LINGXI_DISPATCH_QUEUE',
    kind: whole(1, 1_000_000, 'messages'),
    ...fixed(256),
    about: 'Messages accepted and not yet handed to connections.',
  },
  sendQueue: {
    variable: 'LINGXI_SEND_QUEUE',
    kind: whole(1, 65_536, 'messages'),
    ...fixed(64),
    about: 'Messages that wait per connection, behind the socket.',
  },
  sendQueueBytes: {
    variable: 'LINGXI_SEND_QUEUE_BYTES',
    kind: whole(1, 1_073_741_824, 'bytes'),
    ...fixed(1_048_576),
    about: 'The same in bytes.',
  },
  overflow: {
    variable: 'LINGXI_OVERFLOW',
    kind: choice('drop-newest', 'drop-oldest', 'conflate', 'disconnect'),
    ...fixed('drop-newest'),
    about: 'What happens when a send queue is full.',
  },
  pushRatePerUser: {
    variable: 'LINGXI_PUSH_RATE_PER_USER',
    kind: whole(0, 1_000_000, 'messages a second'),
    ...fixed(0),
    about: 'Messages a second to one user; beyond: `dropped: rate`; 0 = off.',
  },
  sessionPolicy: {
    variable: 'LINGXI_SESSION_POLICY',
    kind: choice('replace', 'reject', 'multi'),
    ...fixed('replace'),
    about: 'What a second connection of a user does: takes over, is refused, or joins.',
    seed: { value: 'multi', risk: 'one account can be played from several places at once' },
  },
  maxConnectionsPerUser: {
    variable: 'LINGXI_MAX_CONNECTIONS_PER_USER',
    kind: whole(1, 10_000, 'connections'),
    ...fixed(5),
    about: 'Connections of one user under the policy `multi`; beyond: 409.',
  },
  maxConnections: {
    variable: 'LINGXI_MAX_CONNECTIONS',
    kind: whole(1, 10_000_000, 'connections'),
    ...fixed(DEFAULT_MAX_CONNECTIONS),
    about: 'Connections of this node; beyond: 503.',
  },
  maxConnectionsPerIp: {
    variable: 'LINGXI_MAX_CONNECTIONS_PER_IP',
    kind: whole(0, 10_000_000, 'connections'),
    ...fixed(0),
    about: 'Connections of one IPv4 address or IPv6 /64; beyond: 429; 0 = off.',
  },
  maxMessageBytes: {
    variable: 'LINGXI_MAX_MESSAGE_BYTES',
    kind: whole(16, 134_217_728, 'bytes'),
    ...fixed(65_536),
    about: 'Size of one inbound message; beyond: closed 1009.',
  },
  maxMessagesPerSecond: {
    variable: 'LINGXI_MAX_MESSAGES_PER_SECOND',
    kind: whole(1, 1_000_000, 'messages a second'),
    ...fixed(50),
    about: 'Inbound messages of one connection; beyond: closed 1008.',
  },
  maxBodyBytes: {
    variable: 'LINGXI_MAX_BODY_BYTES',
    kind: whole(16, 1_073_741_824, 'bytes'),
    ...fixed(1_048_576),
    about: 'Size of one HTTP body; beyond: 413.',
  },
  loginsPerMinute: {
    variable: 'LINGXI_LOGINS_PER_MINUTE',
    kind: whole(0, 1_000_000, 'periods a minute'),
    ...fixed(60),
    about:
      'Periods that a user may open per minute, on one node; above it: 429. Joining a running period does not count; 0 = off.',
  },
} satisfies Partial<Keys>;
