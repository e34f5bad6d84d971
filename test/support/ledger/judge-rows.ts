import type { PeriodEntry } from './books.ts';
import type { Login } from './facts.ts';
import { CALL_MS, ROUNDING_MS, type Timeouts, type UserCase } from './user-case.ts';
import type { Violation } from './verdict.ts';
import { RECORD_MS, RESTORE_MS } from './world.ts';

/** A call that is not answered within this time fails. */
const COMMAND_MS = 1000;

type Judgement = Omit<Violation, 'userId'>;

/** Missing: the periods that a client knows are in SQL and settled, and the user's time is the newest of them. */
export function judgeMissing(of: UserCase): readonly Judgement[] {
  const { facts, rows, time } = of;
  const found: Judgement[] = [];
  const missing = (text: string): number => found.push({ kind: 'missing', text });
  for (const { via, welcome, loginTime, from, to } of facts.logins.filter(
    ({ outcome }) => outcome === 'in',
  )) {
    const isThere = rows.some((row) => {
      if (welcome !== undefined) return row.period === welcome.period && row.loginAt <= to + ROUNDING_MS;
      if (loginTime !== undefined) return row.loginAt === loginTime;
      return row.loginAt <= to + ROUNDING_MS && row.logoutAt >= from - ROUNDING_MS;
    });
    if (!isThere) missing(`no row of ${welcome?.period ?? loginTime ?? 'a login'} (${via}) told at ${to}`);
  }
  for (const logout of facts.logouts.filter(({ outcome }) => outcome === 'ended')) {
    const { logoutTime } = logout;
    const isThere = rows.some(({ reason, logoutAt }) => reason === 'logout' && logoutAt === logoutTime);
    if (!isThere && !of.world.wasWiped(logout.from, logout.to))
      missing(`the logout answered with ${logoutTime} at ${logout.to} is not in SQL`);
  }
  for (const { from, to } of unansweredLogouts(of)) {
    const isThere = rows.some(
      ({ reason, logoutAt }) =>
        reason === 'logout' && logoutAt >= from - ROUNDING_MS && logoutAt <= to + ROUNDING_MS,
    );
    if (!isThere) missing(`the logout message of ${from} to ${to} ended nothing`);
  }
  for (const row of rows.filter(({ settledAt }) => Number.isNaN(settledAt)))
    missing(`${row.period} is not settled`);
  // A login moves the time of its user in the transaction that inserts its row (rule ST9).
  const times = [
    ...rows.flatMap(({ loginAt, logoutAt }) => [loginAt, logoutAt]),
    ...of.deleted.map(({ loginAt }) => loginAt),
  ];
  const newest = Math.max(...times);
  if (times.length > 0 && time !== newest) missing(`the user's time is ${time}, the newest logout ${newest}`);
  return found;
}

/** Logout messages that must have ended the period, because there was no fault. */
function unansweredLogouts(of: UserCase) {
  const { facts, world } = of;
  return facts.logouts.filter(
    ({ by, from, to }) =>
      by === 'message' &&
      world.wasCalm(from - 2 * world.timeoutMs, to) &&
      !world.wasWiped(from - RESTORE_MS, to) &&
      !of.mayBeTaken(from - 2 * world.timeoutMs, to) &&
      facts.closings.some(({ code, at }) => code === 4000 && at >= from && at <= to),
  );
}

/** Double: one period of the client is one row, and no row has an opening that no client requested. */
export function judgeDouble(of: UserCase): readonly Judgement[] {
  const { facts, rows } = of;
  const found: Judgement[] = [];
  rows.forEach((row, index) => {
    const before = rows[index - 1];
    if (!isExplained(of, row))
      found.push({ kind: 'double', text: `nobody asked for ${row.period}, opened at ${row.loginAt}` });
    if (before === undefined || before.reason === 'logout') return;
    const proof = of.proofs.findLast((candidate) => {
      const keptFor = of.keptFor(candidate, row.loginAt);
      if (keptFor === undefined || of.rowAt(candidate.to) !== before) return false;
      return row.loginAt - candidate.from < keptFor - ROUNDING_MS;
    });
    const isWiped = of.wipedLogout(before.loginAt, row.loginAt) !== undefined;
    if (proof !== undefined && !isWiped)
      found.push({
        kind: 'double',
        text:
          `${row.period} opened at ${row.loginAt}, ${row.loginAt - proof.from} ms after a proof (${proof.kind}) of ` +
          `${before.period} on ${proof.life.name}, which ended as ${before.reason} at ${before.logoutAt}`,
      });
  });
  const welcomes = facts.logins.flatMap(({ welcome }) => (welcome === undefined ? [] : [welcome]));
  welcomes.forEach((welcome, index) => {
    const before = welcomes[index - 1];
    if (before === undefined) return;
    if (welcome.epoch <= before.epoch)
      found.push({ kind: 'double', text: `epoch ${welcome.epoch} was given after ${before.epoch}` });
    if (welcome.period < before.period || (welcome.period === before.period && !welcome.resumed))
      found.push({ kind: 'double', text: `period ${welcome.period} was opened after ${before.period}` });
  });
  return found;
}

/** A login opened it, answered or not; or a node that looked dead connected its user anew. */
function isExplained(of: UserCase, { period, loginAt }: PeriodEntry): boolean {
  const isLogin = of.facts.logins.some((login) => {
    const { outcome, welcome, loginTime, from, to } = login;
    if (welcome?.period === period || loginTime === loginAt) return true;
    if (outcome === 'in' && login.via !== 'seed') return false;
    const until = outcome === 'in' ? to : of.latest(login);
    return outcome !== 'refused' && loginAt >= from - ROUNDING_MS && loginAt <= until + ROUNDING_MS;
  });
  return (
    isLogin ||
    [...of.lives].some((life) =>
      of.world.looksDead(life).some((span) => loginAt >= span.from && loginAt <= span.to + ROUNDING_MS),
    )
  );
}

/** Stale: each row has the correct end (rule ST5), and none after the user has returned. */
export function judgeTimes(of: UserCase): readonly Judgement[] {
  return of.rows.flatMap((row, index) => {
    const { period, loginAt, logoutAt, settledAt, reason } = row;
    const found: Judgement[] = [];
    const stale = (text: string): number =>
      found.push({ kind: 'stale', text: `${period} (${reason}) ${text}` });
    const next = of.rows[index + 1];
    if (next !== undefined && next.loginAt < logoutAt)
      stale(`ends ${logoutAt - next.loginAt} ms after the next login at ${next.loginAt}`);
    if (logoutAt < loginAt || logoutAt > settledAt + ROUNDING_MS || row.lastSeenAt > logoutAt)
      stale(`began ${loginAt}, seen ${row.lastSeenAt}, ends ${logoutAt}, settled ${settledAt}`);
    if (reason === 'logout') {
      if (!wasAskedFor(of, row)) stale(`ends at ${logoutAt}: nobody asked for that`);
      return found;
    }
    if (!['timeout', 'node-lost', 'reconciled'].includes(reason)) stale('has a reason that nobody gave');
    const tooEarly = earliestEnd(of, row);
    const wiped = of.wipedLogout(loginAt, settledAt);
    const isWiped = wiped !== undefined && logoutAt >= wiped.from - ROUNDING_MS;
    if (tooEarly !== undefined && logoutAt < tooEarly.at - ROUNDING_MS && !isWiped)
      stale(`ends ${tooEarly.at - logoutAt} ms too early at ${logoutAt}: ${tooEarly.why}`);
    // A reconciled period ends by the life of its node, not by a proof.
    const latest = reason === 'reconciled' ? settledAt : latestEnd(of, row);
    if (logoutAt > latest) stale(`ends ${logoutAt - latest} ms too late at ${logoutAt}`);
    if (reason === 'node-lost' && !lostANode(of, row)) stale(`ends at ${logoutAt}, and no node was lost`);
    if (reason === 'reconciled' && of.proofsOf(row).length > 0 && !mayBeReconciled(of, row))
      stale(`ends at ${logoutAt}: Redis had lost nothing of it`);
    return found;
  });
}

function wasAskedFor(of: UserCase, { logoutAt }: PeriodEntry): boolean {
  return of.facts.logouts.some((logout) => {
    if (logout.outcome === 'not-online') return false;
    if (logout.outcome === 'ended') return logout.logoutTime === logoutAt;
    // A socket that came after the client had given up has a newer epoch (rule PR7). A logout without an epoch ends the period
    // that is open when its node handles it.
    if (logout.epoch === 'none')
      return logoutAt >= logout.from - ROUNDING_MS && logoutAt <= of.latest(logout) + ROUNDING_MS;
    const newer = of.facts.logins.find(
      ({ via, outcome, from }) => via !== 'http' && outcome === 'in' && from > logout.to,
    );
    const until = Math.min(of.latest(logout), newer?.to ?? Number.POSITIVE_INFINITY);
    return logoutAt >= logout.from - ROUNDING_MS && logoutAt <= until + ROUNDING_MS;
  });
}

/** The earliest logout time that the proofs allow, with the proof for it. */
function earliestEnd(of: UserCase, row: PeriodEntry): { at: number; why: string } | undefined {
  let earliest: { at: number; why: string } | undefined;
  for (const { kind, life, from, to } of of.proofsOf(row)) {
    const loss = of.world.lossOf(life, from, row.settledAt);
    const at =
      row.reason === 'reconciled'
        ? from + of.timeouts.socket - RECORD_MS - of.world.unwritten(from - RECORD_MS, from)
        : from + of.timeouts[kind] - (loss?.spareMs ?? 0);
    if (earliest === undefined || at > earliest.at)
      earliest = {
        at,
        why: `${kind} on ${life.name} heard from ${from} to ${to}, spare ${loss?.spareMs ?? 0}`,
      };
  }
  return earliest;
}

/** The latest logout time that any action of this user can explain. */
function latestEnd(of: UserCase, row: PeriodEntry): number {
  const { world, timeouts, facts } = of;
  const heard = [
    ...facts.beats.map(({ via, life, from, to, gaveUpAt }) => ({
      ...{ from, at: to ?? world.latestEffect(life, gaveUpAt ?? from) },
      keptMs: timeouts[via],
    })),
    ...facts.logins.map((login) => ({
      from: login.from,
      at: login.outcome === 'unknown' ? of.latest(login) : login.to,
      keptMs: keptBy(login, timeouts),
    })),
  ].filter(({ from }) => from <= row.logoutAt);
  const due = Math.max(...heard.map(({ at, keptMs }) => at + keptMs));
  // Calls that waited for the return of Redis made their proof too new by that wait. A dead node cannot correct that, and no
  // claim follows the one that ends a period.
  const newest = Math.max(...heard.map(({ at }) => at));
  const wasLate = row.reason === 'node-lost' && world.unrecorded(newest, row.logoutAt) > 0;
  const waitedMs = row.reason === 'timeout' ? world.unrecorded(due, row.logoutAt) : 0;
  return due + (wasLate ? COMMAND_MS : CALL_MS) + waitedMs;
}

/** How long a login proves life. */
function keptBy({ via, outcome }: Login, { socket, http }: Timeouts): number {
  switch (outcome) {
    case 'in':
      return via === 'http' ? http : socket;
    // It proves life by HTTP (rule DR4).
    case 'refused':
      return http;
    // It may have been accepted, or its user lingers as after a socket until the node knows more.
    case 'unknown':
      return Math.max(socket, http);
  }
}

function lostANode(of: UserCase, { loginAt, settledAt }: PeriodEntry): boolean {
  return [...of.lives].some((life) => of.world.lossOf(life, loginAt, settledAt) !== undefined);
}

/** A wipe between the end and its settlement makes it `reconciled`. */
function mayBeReconciled(of: UserCase, row: PeriodEntry): boolean {
  const ends = of.proofsOf(row).map(({ kind, from }) => from + of.timeouts[kind]);
  const isWiped = of.wipedLogout(row.loginAt, row.settledAt) !== undefined;
  const end = Math.max(...ends);
  // Many users at once are held back for one more timeout (rule HB6).
  return isWiped || of.world.wasWiped(end, end + of.timeouts.socket);
}
