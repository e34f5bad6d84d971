// The figures that docs/FIGURES.md shows, in its order. `line` finds the lines of a figure; `first` and `last` find a
// block of lines. A scenario with another size or timeout is a figure of its own, so that a quick run does not replace it.

/** The commands that print the figures. */
export const COMMANDS = [
  { name: 'npm run simulate', title: 'The simulator' },
  { name: 'npm test', title: 'Tests of each run' },
  { name: 'npm run scenarios', title: 'Tests in real time' },
  { name: 'npm run bench', title: 'Cost and speed' },
  { name: 'npm run abuse', title: 'Hostile input' },
];

const SIMULATOR = [
  figure('histories-long', '100,000 histories or more, on the rules', /^\d{6,} histories of seed \d+, /),
  figure('histories-short', 'Fewer histories, on the rules', /^\d{1,5} histories of seed \d+, /),
  figure(
    'histories-scripts',
    'Histories on the real scripts',
    /^\d+ histories of seed \d+ on the real scripts, /,
  ),
  figure(
    'mutants',
    'Mutants of the stores and of the nodes',
    /^every mutant was killed$|^\d+ mutants are alive$/,
  ),
];

const QUICK = [
  figure(
    'model-long',
    'The same commands on the rules and on the scripts: 100,000 or more',
    /^model test: \d{6,} commands in /,
  ),
  figure('model', 'The same commands on the rules and on the scripts', /^model test: \d{1,5} commands in /),
  figure('2', 'Scenario 2: a newer connection on another node', /^\[scenario 2\] the old socket /),
  figure('4', 'Scenario 4: a timeout races a connection', /^\[scenario 4\] \d+ of \d+ connects /),
  figure('7', 'Scenario 7: a thousand upgrades of one user at once', /^\[scenario 7\] \d+ upgrades /),
  figure('10', 'Scenario 10: a client leaves before the reply and returns', /^\[scenario 10\] policy /),
  figure('12', 'Scenario 12: the notice of a take-over is lost', /^\[scenario 12\] old sockets /),
  figure('13', 'Scenario 13: kill -9 of a node', /^\[scenario 13\] .*, timeout \d{1,4} ms: /),
  figure('17', 'Scenario 17: a node stopped for twice the timeout', /^\[scenario 17\] timeout \d{1,4} ms: /),
  figure('19', 'Scenario 19: every node away', /^\[scenario 19\] .*, timeout \d{1,4} ms: /),
  figure('20', 'Scenario 20: one node cut off from Redis', /^\[scenario 20\] timeout \d{1,4} ms: /),
  figure('20-all', 'Scenario 20: all nodes cut off from Redis', /^\[scenario 20\] .* for \d{1,4} ms: ready /),
  figure('22', 'Scenario 22: a node breaks down', /^\[scenario 22\] /),
  figure('23', 'Scenario 23: a drain', /^\[scenario 23\] .*, timeout \d{1,4} ms: /),
  figure('24', 'Scenario 24: a storm of reconnects', /^\[scenario 24\] \d{1,4} reconnects /),
  figure('44', 'Scenario 44: messages to users who move', /^\[scenario 44\] outcomes /),
  figure(
    'rolling',
    'A rolling restart behind load balancers',
    /^figure: rolling restart behind \w+: \d{1,2} clients, /,
  ),
  figure(
    '25',
    'Scenario 25: Redis restarts, with persistence',
    /^figure: \d+ users back \d+ ms after the restart$/,
  ),
  figure(
    '26',
    'Scenario 26: failover to older data',
    /^figure: \d+ users restored \d+ ms after a failover |^figure: ends that the failover took back /,
  ),
  figure(
    '27',
    'Scenario 27: FLUSHALL',
    /^figure: \d+ users restored \d+ ms after FLUSHALL$|^figure: a login that met the empty Redis /,
  ),
  figure(
    '28',
    'Scenario 28: Redis away, then empty',
    /^figure: \d+ users restored .* return of an empty Redis$/,
  ),
  figure(
    '29',
    'Scenario 29: Redis hangs, or the line is half open',
    /^figure: (a hanging Redis was noticed|ready again \d+ ms after it went on|half-open connections|the push channel was heard)/,
  ),
  figure('33', 'Scenario 33: Redis full or read-only', /^figure: .*: (not ready after|ready again) \d+ ms/),
  figure('35', 'Scenario 35: PostgreSQL down for seconds', /^figure: \d{1,3} duties, the oldest /),
  figure(
    '40',
    'Scenario 40: PostgreSQL rejects one row of 500',
    /^figure: \d+ of \d+ settled and one (set aside|left for later) /,
  ),
  figure('41', 'Scenario 41: PostgreSQL read-only', /^figure: \d+ failed tries of two nodes /),
  figure('failover', 'Failover by Sentinels and by a Cluster', /^restored \d+ ms after the promotion$/),
];

const REAL_TIME = [
  figure('13-real', 'Scenario 13: kill -9 of a node', /^\[scenario 13\] .*, timeout \d{5,} ms: /),
  figure(
    '17-real',
    'Scenario 17: a node stopped for twice the timeout',
    /^\[scenario 17\] timeout \d{5,} ms: /,
  ),
  figure('19-real', 'Scenario 19: everything away for a minute', /^\[scenario 19\] .*, timeout \d{5,} ms: /),
  figure('20-real', 'Scenario 20: one node cut off for 30 s', /^\[scenario 20\] timeout \d{5,} ms: /),
  figure('20-all-real', 'Scenario 20: all nodes cut off', /^\[scenario 20\] .* for \d{5,} ms: ready /),
  figure(
    'rolling-real',
    'A rolling restart behind load balancers',
    /^figure: rolling restart behind \w+: \d{3,} clients, /,
  ),
  figure('23-real', 'Scenario 23: a drain with 10,000 users', /^\[scenario 23\] .*, timeout \d{5,} ms: /),
  figure('24-real', 'Scenario 24: 20,000 reconnects', /^\[scenario 24\] \d{5,} reconnects /),
  figure(
    '28-real',
    'Scenario 28: Redis away for a minute',
    /^figure: \d+ users restored .* after \d+ s without Redis$/,
  ),
  figure(
    '31',
    'Scenarios 31 and 32: the clock of Redis moves',
    /^figure: timed out after \d+ and, lingering, /,
  ),
  figure('35-real', 'Scenario 35: PostgreSQL down for two minutes', /^figure: \d{4,} duties, the oldest /),
  block('ledger', 'The ledger', { first: /^seed +\d+$/, last: /^stale +\d+$/ }),
];

const MEASURED = [
  figure(
    'heartbeats',
    'Redis commands a heartbeat',
    /^B1r (heartbeats of|Redis commands on the wire|of these|commands a heartbeat)/,
  ),
  figure('burst', '10,000 users who time out at once', /^B8 /),
  ...onEachRuntime('B3', 'Logins'),
  ...onEachRuntime('B4', 'Messages to random users, sent by the library'),
  ...onEachRuntime('B5', 'Broadcasts, sent by the library'),
  ...onEachRuntime('B6', 'Messages by HTTP, 100 in a request'),
  ...onEachRuntime('B9', 'Messages from one node to users on another'),
  ...onEachRuntime('B13', 'Messages by HTTP, one in a request'),
  figure(
    'hold',
    'B1 and B2: connections that ping, and their memory',
    /^(B1|B2) (floor|bun|ws|socket\.io|lingxi-)/,
  ),
  figure('detection', 'B7: users who fall silent at random times', /^B7 /),
  figure('dead-node', 'B10: kill -9 of a node', /^B10 /),
  figure('held', 'B11: users held in Redis', /^B11 /),
  figure('deploy', 'B12: a rolling deploy', /^B12 /),
  figure('after-loss', 'B14: logins after kill -9 and FLUSHALL', /^B14 /),
];

const HOSTILE = [
  block('abuse-node', 'Node', { first: /^node, seed \d+$/, last: /^node: (nothing found|\d+ findings)$/ }),
  block('abuse-bun', 'Bun', { first: /^bun, seed \d+$/, last: /^bun: (nothing found|\d+ findings)$/ }),
];

export const KNOWN = [
  ...SIMULATOR.map((entry) => ({ ...entry, command: 'npm run simulate' })),
  ...QUICK.map((entry) => ({ ...entry, command: 'npm test' })),
  ...REAL_TIME.map((entry) => ({ ...entry, command: 'npm run scenarios' })),
  ...MEASURED.map((entry) => ({ ...entry, command: 'npm run bench' })),
  ...HOSTILE.map((entry) => ({ ...entry, command: 'npm run abuse' })),
];

function figure(id, title, line) {
  return { id, title, line };
}

/** Lines of `npm run bench` begin with the name of the measurement and the runtime of the server. */
function onEachRuntime(name, title) {
  return [
    figure(`${name}-bun`, `${name}: ${title}, on Bun`, new RegExp(`^${name} bun, `)),
    figure(`${name}-node`, `${name}: ${title}, on Node`, new RegExp(`^${name} node, `)),
  ];
}

function block(id, title, ends) {
  return { id, title, ...ends };
}
