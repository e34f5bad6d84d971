import type { Duty, PendingDuties } from '../../../protocol/periods.ts';
import type { StoredChange } from '../../api.ts';
import type { WorldRules } from '../../rules/session-policy.ts';
import {
  type Claim,
  type ClaimAnswer,
  type EndAnswer,
  type EndRequest,
  type GroupAnswer,
  type GroupChange,
  type GroupPage,
  type LostByNodes,
  MAX_BATCH,
  type PresenceStore,
  type ReapAnswer,
  type RenewAnswer,
  type RenewRequest,
  type RunningPeriod,
  type UserRecord,
} from '../port.ts';
import { RedisChanges } from './changes.ts';
import { RedisDuties } from './duties.ts';
import { RedisNodes } from './nodes.ts';
import { RedisPost } from './post.ts';
import {
  parseBlockLeft,
  parseClaimAnswer,
  parseEndAnswer,
  parseGroupAnswer,
  parseLost,
  parseReapAnswer,
  parseRenewAnswer,
  parseRunning,
  parseUserRecord,
  type ReadReply,
} from './replies.ts';
import type { ScriptName } from './scripts.ts';
import type { StoreConnection } from './store-connection.ts';
import { ACKNOWLEDGED, CLAIM, END_REQUEST, encoder, PERIOD, RENEWAL } from './wire.ts';

export interface RedisStoreOptions extends WorldRules {
  readonly link: StoreConnection;
  /** This incarnation. */
  readonly node: string;
  /** Silence after which a node is dead: the heartbeat timeout and 1 s (rule PR8). */
  readonly deadAfterMs: number;
  /** Prefix of every key; `{lingxi}:` on Redis Cluster. */
  readonly prefix: string;
  /** Length of the feed (`LINGXI_FEED_LENGTH`). */
  readonly feedLength: number;
  /** How long a user's timeline is kept after its last change. */
  readonly timelineTtlMs: number;
  /** Wall clock, for the age of duties. */
  readonly now: () => number;
  /** Called with the losses that a call caused. The next renewals of their nodes bring the same losses (rule PR4). */
  readonly lost?: (lost: LostByNodes) => void;
  /** Called when a script is sent. The store calls the returned function when the reply came (true) or the call failed (false). */
  readonly sent?: (name: ScriptName) => (answered: boolean) => void;
}

/** A batch of this many claims counts as a burst. */
const BURST = MAX_BATCH / 2;
/** Tells `end.lua` to leave a block as it is. */
const LEAVE_BLOCK = -1;
const encodeClaim = encoder(CLAIM);
const encodeEndRequest = encoder(END_REQUEST);
const encodePeriod = encoder(PERIOD);
const encodeRenewal = encoder(RENEWAL);
const encodeAcknowledged = encoder(ACKNOWLEDGED);
const STILL_HELD = 'an opening was recorded by another node meanwhile';
/** Largest number of pages of 500 users that `unstated` reads. */
const MAX_UNSTATED_PAGES = 10_000;

/** Presence in Redis. Every change is one script, for up to 500 users. The scripts follow the rules in `rules/`. */
export class RedisPresenceStore implements PresenceStore {
  readonly keepsDuties = true;
  /** `lastHeartbeat` in Redis is at most 5 s old (contract section 5). */
  readonly renewalMs = 3000;
  readonly #options: RedisStoreOptions;
  readonly #link: StoreConnection;
  readonly #duties: RedisDuties;
  readonly #changes: RedisChanges;
  /** The nodes that share this Redis. */
  readonly nodes: RedisNodes;
  /** Frames to them. */
  readonly post: RedisPost;
  /** The world in which this node last renewed. A restore claims its holds in this world. */
  #world: string | undefined;
  /** Number of bursts in progress. */
  #bursts = 0;

  constructor(options: RedisStoreOptions) {
    this.#options = options;
    this.#link = options.link;
    const { prefix, node, link, now } = options;
    this.#changes = new RedisChanges(link, prefix);
    const run = (name: ScriptName, args: readonly (string | number)[]): Promise<unknown> =>
      this.#run(name, args);
    this.#duties = new RedisDuties({ link, node, prefix, now, run });
    this.nodes = new RedisNodes({ link, node, prefix, run });
    this.post = new RedisPost(run);
  }

  async renew(request: RenewRequest): Promise<RenewAnswer> {
    const renewal = encodeRenewal({
      highestEpoch: request.highestEpoch,
      restoredIn: request.restored ? (this.#world ?? '*') : '',
      generation: Number(this.#world?.split(':')[2] ?? 0),
    });
    const args = [...renewal, ...request.acknowledged.flatMap(encodeAcknowledged)];
    const answer = parseRenewAnswer((await this.#run('renew', args)) as (number | string)[]);
    this.#world = answer.world;
    return answer;
  }

  get hasBurst(): boolean {
    return this.#bursts > 0;
  }

  async claim(batch: readonly Claim[]): Promise<readonly ClaimAnswer[]> {
    const isBurst = batch.length >= BURST;
    if (isBurst) this.#bursts += 1;
    try {
      return await this.#claim(batch);
    } finally {
      if (isBurst) this.#bursts -= 1;
    }
  }

  async #claim(batch: readonly Claim[]): Promise<readonly ClaimAnswer[]> {
    const { policy, maxConnectionsPerUser, responsiveLeftMs } = this.#options;
    // One text, because the client library is slow with thousands of arguments.
    const claims = JSON.stringify(batch.map(encodeClaim));
    const args = [policy, maxConnectionsPerUser, claims, responsiveLeftMs];
    return this.#answers((await this.#run('claim', args)) as string[], batch.length).map(parseClaimAnswer);
  }

  async record(
    batch: readonly { readonly userId: number; readonly period: number }[],
  ): Promise<readonly boolean[]> {
    const reply = (await this.#run('record', batch.flatMap(encodePeriod))) as number[];
    return reply.map((held) => held === 1);
  }

  async withdraw(batch: readonly { readonly userId: number; readonly period: number }[]): Promise<void> {
    if (Number(await this.#run('withdraw', batch.flatMap(encodePeriod))) > 0) throw new Error(STILL_HELD);
  }

  async end(batch: readonly EndRequest[]): Promise<readonly EndAnswer[]> {
    const args = batch.flatMap(({ userId, reason, epoch, blockMs = LEAVE_BLOCK, proofAgeMs, note = '' }) =>
      encodeEndRequest({ userId, reason, epoch, blockMs, proofAgeMs, note }),
    );
    return this.#answers((await this.#run('end', args)) as string[], batch.length).map(parseEndAnswer);
  }

  async unstated(rev: number): Promise<readonly number[]> {
    const userIds = new Set<number>();
    let cursor = '0';
    for (let page = 0; page < MAX_UNSTATED_PAGES; page += 1) {
      const [next = '0', ...found] = (await this.#run('unstated', [rev, cursor, MAX_BATCH])) as string[];
      for (const userId of found) userIds.add(Number(userId));
      cursor = next;
      if (cursor === '0') break;
    }
    return [...userIds];
  }

  async reap(limit: number): Promise<ReapAnswer> {
    const reply = await this.#run('reap', [this.#options.deadAfterMs, limit]);
    return parseReapAnswer(reply as readonly (string | number)[]);
  }

  async read(userIds: readonly number[]): Promise<readonly (UserRecord | undefined)[]> {
    const replies = userIds.length === 0 ? [] : ((await this.#run('read', userIds)) as ReadReply[]);
    return userIds.map((userId, index) => parseUserRecord(userId, replies[index]));
  }

  async running(userId: number): Promise<RunningPeriod | undefined> {
    const [reply] = (await this.#run('read', [userId])) as ReadReply[];
    return parseRunning(reply);
  }

  async blockLeftMs(userId: number): Promise<number> {
    const [reply] = (await this.#run('read', [userId])) as ReadReply[];
    return parseBlockLeft(reply);
  }

  async onlinePage(page: {
    readonly limit: number;
    readonly cursor: string | undefined;
  }): Promise<{ readonly userIds: readonly number[]; readonly cursor: string | undefined }> {
    return this.#page('lingxi:online', page);
  }

  async changeGroup({ group, add, remove }: GroupChange): Promise<readonly GroupAnswer[]> {
    const args = [group, this.#options.maxGroupsPerUser, add.join(','), remove.join(',')];
    return ((await this.#run('groups', args)) as string[]).map(parseGroupAnswer);
  }

  async groupPage(page: {
    readonly group: string;
    readonly limit: number;
    readonly cursor: string | undefined;
  }): Promise<GroupPage> {
    const { client } = this.#link;
    const key = `lingxi:g:${page.group}`;
    const [online, { userIds, cursor }] = await Promise.all([
      this.#link.guarded(client.zcard(this.#options.prefix + key)),
      this.#page(key, page),
    ]);
    return { online, userIds, cursor };
  }

  /** One page of a set of users, in the order of their ids. */
  async #page(
    key: string,
    page: { readonly limit: number; readonly cursor: string | undefined },
  ): Promise<{ readonly userIds: readonly number[]; readonly cursor: string | undefined }> {
    const { client } = this.#link;
    const from = page.cursor === undefined ? '-inf' : `(${page.cursor}`;
    const ids = await this.#link.guarded(
      client.zrangebyscore(this.#options.prefix + key, from, '+inf', 'LIMIT', 0, page.limit),
    );
    return { userIds: ids.map(Number), cursor: ids.length === page.limit ? ids.at(-1) : undefined };
  }

  feed(page: {
    readonly cursor: string;
    readonly limit: number;
  }): Promise<readonly StoredChange[] | undefined> {
    return this.#changes.feed(page);
  }

  timeline(
    userId: number,
    page: { readonly cursor: string | undefined; readonly limit: number },
  ): Promise<readonly StoredChange[] | undefined> {
    return this.#changes.timeline(userId, page);
  }

  async knows(
    rows: readonly { readonly userId: number; readonly period: number }[],
  ): Promise<readonly boolean[]> {
    if (rows.length === 0) return [];
    const known = (await this.#run('knows', rows.flatMap(encodePeriod))) as number[];
    const aside = await this.#duties.aside(rows);
    return rows.map((_, index) => known[index] === 1 || aside[index] === true);
  }

  takeDuties(limit: number): Promise<readonly Duty[]> {
    return this.#duties.take(limit);
  }

  ackDuties(duties: readonly Duty[]): Promise<void> {
    return this.#duties.acknowledge(duties);
  }

  setAside(duty: Duty, error: string): Promise<void> {
    return this.#duties.setAside(duty, error);
  }

  pendingDuties(): Promise<PendingDuties> {
    return this.#duties.pending();
  }

  close(): Promise<void> {
    return this.#link.close();
  }

  /** The first `count` texts are answers, the rest are losses of other nodes. */
  #answers(reply: readonly string[], count: number): readonly string[] {
    if (reply.length > count) this.#options.lost?.(parseLost(reply.slice(count)));
    return reply.slice(0, count);
  }

  async #run(name: ScriptName, args: readonly (string | number)[]): Promise<unknown> {
    const { prefix, node, lastSeenTtlMs, feedLength, timelineTtlMs } = this.#options;
    const runId = await this.#link.runId();
    const common = [
      prefix,
      node,
      this.#link.connectionName,
      runId,
      `${lastSeenTtlMs};${feedLength};${timelineTtlMs};${this.#link.database}`,
    ];
    return this.#timed(name, this.#link.script(name, `${prefix}lingxi:world`, [...common, ...args]));
  }

  async #timed(name: ScriptName, call: Promise<unknown>): Promise<unknown> {
    const done = this.#options.sent?.(name);
    try {
      const reply = await call;
      done?.(true);
      return reply;
    } catch (error) {
      done?.(false);
      throw error;
    }
  }
}
