import type { Evidence } from './books.ts';
import type { UserFacts } from './facts.ts';
import type { Site } from './site.ts';
import type { Span } from './world.ts';

const MAX_LINES = 2_000;
/** Fields of a log line that add nothing here. */
const DULL = new Set(['level', 'msg', 'userId', 'pid', 'hostname', 'ip']);

interface Event {
  readonly at: number;
  readonly text: string;
}

/** All information about one user, in order: the actions of the client, SQL, feed, logs of the nodes, and the faults. */
export async function explain(site: Site, facts: UserFacts, evidence: Evidence): Promise<string> {
  const { userId } = facts;
  const events: Event[] = [...clientEvents(facts), ...troubles(site)];
  for (const row of evidence.periods.get(userId) ?? [])
    events.push(
      { at: row.loginAt, text: `SQL     row ${row.period} begins` },
      {
        at: row.logoutAt,
        text: `SQL     row ${row.period} ends: ${row.reason}, seen ${row.lastSeenAt}, ${row.node}`,
      },
      { at: row.settledAt, text: `SQL     row ${row.period} settled` },
    );
  for (const row of evidence.deleted.filter((one) => one.userId === userId))
    events.push(
      { at: row.loginAt, text: `SQL     row ${row.period} begins, deleted later` },
      {
        at: row.deletedAt,
        text: `SQL     row ${row.period} deleted while ${row.wasOpen ? 'open' : 'settled'}`,
      },
    );
  for (const event of evidence.feed.events.filter((one) => one.userId === userId))
    events.push({
      at: event.at,
      text: `feed    ${event.type} ${event.period} ${event.reason ?? ''} ${event.cursor}`,
    });
  for (const { name, gateway } of site.nodes) {
    for (const line of new Set(gateway.printed().split('\n'))) {
      const isOfAll =
        /"event":"(presence-unavailable|presence-restored|started|stall-credited|draining|settlement-\w+)"/.test(
          line,
        );
      if (line.startsWith('{') && (isOfAll || line.includes(`"userId":${userId},`)))
        events.push(logged(name, line));
    }
  }
  for (const entry of await timelineOf(site, userId))
    events.push({ at: Number(entry['at']), text: `timeline ${JSON.stringify(entry)}` });
  const begins = Math.min(...site.world.lives.map(({ from }) => from));
  const sorted = events.sort((left, right) => left.at - right.at).slice(-MAX_LINES);
  return [
    `user ${userId}, ms since ${begins}`,
    ...sorted.map(({ at, text }) => `${String(at - begins).padStart(7)} ${text}`),
  ].join('\n');
}

function clientEvents(facts: UserFacts): Event[] {
  const events: Event[] = [];
  for (const { via, life, from, to, outcome, welcome, loginTime, code } of facts.logins) {
    events.push({ at: from, text: `client  dials ${life.name} (${via})` });
    const told = welcome === undefined ? (loginTime ?? '') : JSON.stringify(welcome);
    events.push({
      at: to,
      text: `client  login of ${from} at ${life.name}: ${outcome} ${told} ${code ?? ''} (${to})`,
    });
  }
  for (const { via, life, from, to } of facts.beats)
    events.push({
      at: from,
      text: `client  beats (${via}) on ${life.name}, heard ${to ?? 'nobody knows'} (${from})`,
    });
  for (const { by, life, from, to, outcome, logoutTime, epoch } of facts.logouts) {
    events.push({ at: from, text: `client  logs out by ${by} at ${life.name}, epoch ${epoch}` });
    events.push({ at: to, text: `client  logout of ${from}: ${outcome} ${logoutTime ?? ''}` });
  }
  for (const { life, lineFrom, at, code, byClient } of facts.closings)
    events.push({
      at,
      text: `client  closed ${code} by ${byClient ? 'itself' : life.name} (of ${lineFrom})`,
    });
  for (const { life, from, to, what } of facts.denials)
    events.push({ at: to, text: `client  ${what} of ${from} at ${life.name}: not online` });
  return events;
}

function troubles(site: Site): Event[] {
  const { world } = site;
  const spans = (what: string, all: readonly Span[]): Event[] =>
    all.flatMap(({ from, to }) => [
      { at: from, text: `TROUBLE ${what} away` },
      { at: to, text: `TROUBLE ${what} back` },
    ]);
  return [
    ...spans('Redis', world.redis.all),
    ...spans('PostgreSQL', world.postgres.all),
    ...spans('what Redis had', world.wipes.all),
    ...world.lives.flatMap((life) => [
      { at: life.from, text: `TROUBLE ${life.name} begins a life` },
      ...(life.end === undefined ? [] : [{ at: life.endedAt, text: `TROUBLE ${life.name} ${life.end}` }]),
      ...spans(`${life.name} frozen`, life.freezes.all),
    ]),
  ];
}

function logged(name: string, line: string): Event {
  try {
    const { time, ...all } = JSON.parse(line) as Record<string, unknown>;
    const rest = Object.fromEntries(Object.entries(all).filter(([key]) => !DULL.has(key)));
    const at = typeof time === 'number' ? time : Date.parse(String(time));
    return { at, text: `log ${name}  ${JSON.stringify(rest)}` };
  } catch {
    return { at: 0, text: line };
  }
}

async function timelineOf(site: Site, userId: number): Promise<readonly Record<string, unknown>[]> {
  const answer = await site.answering?.gateway
    .service('GET', `/api/users/${userId}/timeline?limit=200`)
    .catch(() => undefined);
  return ((answer?.json as { entries?: Record<string, unknown>[] } | undefined)?.entries ?? []).toReversed();
}
