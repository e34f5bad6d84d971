import type { PresenceChange } from '../../../src/presence/api.ts';
import { groupsOf } from '../../../src/presence/rules/groups.ts';
import type { Leases } from '../../../src/presence/rules/lease.ts';
import type { Hold, LastPeriod, RecordState } from '../../../src/presence/rules/record.ts';
import type { ClaimAnswer, Loss } from '../../../src/presence/store/port.ts';
import { parseClaimAnswer } from '../../../src/presence/store/redis/replies.ts';
import type { Duty } from '../../../src/protocol/periods.ts';
import type { DumpedKey } from '../timed-scripts.ts';
import type { ExpectedRedis, Mirror } from './expected-redis.ts';

/** One key: its content, and the wall-clock time of its expiry. A stream is its entries without ids. */
interface KeyImage {
  readonly deadline: number | undefined;
  readonly content: unknown;
}

/** Everything that Redis stores, by key. A key without content does not exist. */
export type Image = Readonly<Record<string, KeyImage>>;

/** The sources of an image. */
type Keeping = Pick<ExpectedRedis, 'world' | 'mirrors' | 'timelines' | 'feed' | 'duties' | 'holderOf'>;

/** What Redis must store. */
export function expectedImage(model: Keeping, nodes: readonly string[]): Image {
  const image = new Map<string, KeyImage>();
  const put = (key: string, content: unknown, deadline?: number): void => {
    if (!isEmpty(content)) image.set(key, { deadline, content });
  };
  const { world } = model;
  const { leases } = world;
  put('lingxi:world', worldOf(leases));
  put('lingxi:nodes', shortened(Object.fromEntries([...leases.nodes].map(([n, l]) => [n, leaseOf(l)]))));
  put('lingxi:dead', [...leases.dead].sort(byText));
  for (const [node, losses] of world.losses)
    put(`lingxi:lost:${node}`, lossesOf(losses), world.losses.expiryOf(node));
  for (const [userId, record] of world.records) put(`lingxi:u:${userId}`, recordOf(record), record.expiresAt);
  for (const [userId, { last, expiresAt }] of world.endings)
    put(`lingxi:ended:${userId}`, lastOf(last), expiresAt);
  const online = [...world.records.values()].filter(({ recorded, holds }) => recorded && holds.size > 0);
  const ids = online.map(({ userId }) => String(userId)).sort(byText);
  put('server:online:players', ids);
  put('lingxi:online', ids);
  for (const group of new Set(online.flatMap((record) => [...groupsOf(record)])))
    put(
      `lingxi:g:${group}`,
      online
        .filter((record) => groupsOf(record).has(group))
        .map(({ userId }) => String(userId))
        .sort(byText),
    );
  for (const node of new Set([...world.records.values()].flatMap(({ holds }) => [...holds.keys()])))
    put(`lingxi:n:${node}`, world.heldBy(node).map(String).sort(byText));
  for (const [userId, { content, deadline }] of model.mirrors)
    put(`player:online:${userId}`, mirrorOf(userId, content), deadline);
  for (const [userId, { content, deadline }] of model.timelines)
    put(`lingxi:tl:${userId}`, settledOrder(content.map(timelineEntry)), deadline);
  put('lingxi:feed', model.feed.map(feedEntry));
  put(
    'lingxi:duties',
    model.duties.map((duty) => dutyOf(duty, model.holderOf(duty, nodes))),
  );
  return Object.fromEntries(image);
}

/** What Redis does store. */
export function redisImage(dumped: ReadonlyMap<string, DumpedKey>): Image {
  const image = new Map<string, KeyImage>();
  for (const [key, found] of dumped) {
    // Without the numbers of frames. The stories check those, and the content of frames.
    if (key.startsWith('lingxi:sent:')) continue;
    const content = contentOf(key, found);
    if (!isEmpty(content)) image.set(key, { deadline: found.deadline, content });
  }
  return Object.fromEntries(image);
}

/** The ids in the stream of duties, oldest first. */
export function dutyIds(dumped: ReadonlyMap<string, DumpedKey>): readonly string[] {
  return ((dumped.get('lingxi:duties')?.content ?? []) as StreamEntry[]).map(([id]) => id);
}

/** The node that the newest duty names. */
export function newestDutyNode(dumped: ReadonlyMap<string, DumpedKey>): string | undefined {
  const entries = (dumped.get('lingxi:duties')?.content ?? []) as StreamEntry[];
  return entries.at(-1)?.[1][1]?.split('|')[6];
}

type StreamEntry = readonly [id: string, fields: readonly string[]];
type Fields = Record<string, string>;
/** The number of parts before the answer. */
const HOLD_PARTS = 8;

function contentOf(key: string, { type, content, inHand }: DumpedKey): unknown {
  if (type === 'hash') {
    const fields = fieldsOf(content as string[]);
    if (key === 'lingxi:dead') return Object.keys(fields).sort(byText);
    return key.startsWith('lingxi:u:') ? withHolds(shortened(fields)) : shortened(fields);
  }
  if (type === 'set') return [...(content as string[])].sort(byText);
  // The score of each id is the id.
  if (type === 'zset') {
    const flat = content as string[];
    const ids = flat.filter((_, index) => index % 2 === 0);
    return flat.filter((_, index) => index % 2 === 1).join() === ids.join() ? ids.sort(byText) : flat;
  }
  if (key.startsWith('lingxi:tl:')) return settledOrder((content as string[]).map(listedEntry).reverse());
  if (type !== 'stream') return content;
  const entries = content as StreamEntry[];
  if (key === 'lingxi:duties') {
    const consumers = new Map(inHand);
    return entries.map(([id, fields]) => ({ ...fieldsOf(fields), inHand: consumers.get(id) }));
  }
  return entries.map(([, fields]) => fieldsOf(fields));
}

/** An entry of a timeline, with the field names of the feed. */
function listedEntry(text: string): Fields {
  const [id, atBefore, t = '', c = '', n = '', epochBefore, ...note] = text.split('|');
  const [a, e] = [atBefore, epochBefore].map((before) => String(Number(id) - Number(before)));
  const entry = { a: a ?? '', t, c, n, e: e ?? '' };
  return note.length === 0 ? entry : { ...entry, r: note.join('|') };
}

function fieldsOf(flat: readonly string[]): Fields {
  const fields: Fields = {};
  for (let index = 0; index + 1 < flat.length; index += 2) fields[flat[index] ?? ''] = flat[index + 1] ?? '';
  return fields;
}

/** An empty value and zero are the same as a missing field. */
function shortened(fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== '' && value !== '0'));
}

function withHolds(fields: Fields): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name, name.startsWith('h:') ? holdIn(value) : value]),
  );
}

function holdIn(text: string): unknown {
  const parts = text.split('|');
  const [answer = '', tokenGroups = ''] = parts.slice(HOLD_PARTS);
  return { hold: parts.slice(0, HOLD_PARTS).join('|'), answer: parseClaimAnswer(answer), tokenGroups };
}

/** If several nodes lose a user at once, their entries have no fixed order. */
function settledOrder(entries: readonly Fields[]): readonly Fields[] {
  const isSame = (left: Fields, right: Fields): boolean =>
    left['t'] === 'replaced' && right['t'] === 'replaced' && left['a'] === right['a'];
  const sorted: Fields[] = [];
  for (const entry of entries) {
    let at = sorted.length;
    while (
      at > 0 &&
      isSame(sorted[at - 1] ?? {}, entry) &&
      (sorted[at - 1]?.['n'] ?? '') > (entry['n'] ?? '')
    )
      at -= 1;
    sorted.splice(at, 0, entry);
  }
  return sorted;
}

function worldOf({ world, highestEpoch }: Leases): Fields {
  const high = String(highestEpoch);
  if (world === undefined) return shortened({ high });
  const { clock, reading, run, start, generation } = world;
  const numbers = { clock, reading, start, gen: generation };
  const texts = Object.entries(numbers).map(([name, value]) => [name, String(value)]);
  return shortened({ ...Object.fromEntries(texts), run, high });
}

function leaseOf({ lease, seen, restored }: { lease: string; seen: number; restored: boolean }): string {
  return `${lease}|${seen}|${restored ? 1 : 0}`;
}

function lossesOf(losses: ReadonlyMap<number, Loss>): Fields {
  const texts = [...losses].map(([userId, { rev, reason, note }]) => [
    String(userId),
    note === undefined ? `${rev}|${reason}` : `${rev}|${reason}|${note}`,
  ]);
  return Object.fromEntries(texts);
}

function recordOf(record: RecordState): Readonly<Record<string, unknown>> {
  const { last } = record;
  const numbers = {
    ...{ per: record.period, login: record.loginTime, epoch: record.epoch, rec: record.recorded ? 1 : 0 },
    ...{ proof: record.proof, till: record.until, op: record.openedAt, block: record.blockedUntil },
  };
  const texts = {
    ...{ ip: record.ip, name: record.username },
    ...{ tk: record.takeovers.join(';'), un: record.unsettled.join(';'), sg: record.groups },
    last: last === undefined ? '' : lastOf(last),
  };
  const short = shortened({
    ...Object.fromEntries(Object.entries(numbers).map(([name, value]) => [name, String(value)])),
    ...texts,
  });
  return { ...short, ...Object.fromEntries([...record.holds].map(([n, hold]) => [`h:${n}`, holdOf(hold)])) };
}

function lastOf({ period, loginTime, lastHeartbeat, logoutTime, reason }: LastPeriod): string {
  return [period, loginTime, lastHeartbeat, logoutTime, reason].join('|');
}

function holdOf(hold: Hold): { hold: string; answer: ClaimAnswer; tokenGroups: string } {
  const { rev, sockets, epoch, socketUntil, httpUntil, proof, until, proofMark, answer, tokenGroups } = hold;
  const parts = [rev, sockets, epoch, socketUntil, httpUntil, proof, until, proofMark];
  return { hold: parts.join('|'), answer, tokenGroups };
}

function mirrorOf(userId: number, mirror: Mirror): Fields {
  const { loginTime, lastHeartbeat, ip, logoutTime } = mirror;
  return shortened({
    ...{ playerId: String(userId), loginTime: String(loginTime), lastHeartbeat: String(lastHeartbeat), ip },
    ...(logoutTime === undefined
      ? { status: 'online' }
      : { status: 'offline', logoutTime: String(logoutTime) }),
  });
}

function timelineEntry({ at, event, cause, node, epoch, note }: PresenceChange): Fields {
  const entry = { a: String(at), t: event, c: cause, n: node, e: String(epoch) };
  return note === undefined ? entry : { ...entry, r: note };
}

function feedEntry({ userId, at, event, cause, node, epoch, period }: PresenceChange): Fields {
  const texts = { a: String(at), t: event, c: cause, n: node, e: String(epoch) };
  return { u: String(userId), ...texts, p: String(period) };
}

function dutyOf(duty: Duty, inHand: string | undefined): unknown {
  const { userId, period, loginAt, logoutAt, lastSeenAt, reason, node } = duty;
  return { d: [userId, period, loginAt, logoutAt, lastSeenAt, reason, node].join('|'), inHand };
}

function isEmpty(content: unknown): boolean {
  return typeof content === 'object' && content !== null && Object.keys(content).length === 0;
}

function byText(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
