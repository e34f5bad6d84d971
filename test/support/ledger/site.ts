import type { Random } from '../../simulation/random.ts';
import { type Gateway, type Runtime, startGateway } from '../gateway-process.ts';
import { eventually } from '../ports.ts';
import { type PostgresServer, type RedisServer, startPostgres, startRedis } from '../services.ts';
import { createUsers } from '../stores.ts';
import { NodeLife, World } from './world.ts';

const START_AGAIN_MS = 40_000;
/** Share of the clients that go to a node known to be away, as behind a load balancer that is a little late. */
const BLIND_SHARE = 0.1;

/** This table keeps every change of a settled row, for a logout must be written once, and every deleted row. */
const HISTORY = `
  SET synchronous_commit = on;
  CREATE TABLE ledger_changes (at timestamptz DEFAULT clock_timestamp(), what text, user_id bigint, period bigint,
    old_login timestamptz, old_settled timestamptz, old_logout timestamptz, new_logout timestamptz,
    old_reason text, new_reason text);
  CREATE FUNCTION ledger_note() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    IF TG_OP = 'DELETE' THEN
      INSERT INTO ledger_changes (what, user_id, period, old_login, old_settled, old_logout, old_reason)
        VALUES ('deleted', OLD.user_id, OLD.period, OLD.login_at, OLD.settled_at, OLD.logout_at, OLD.reason);
    ELSIF OLD.settled_at IS NOT NULL AND (NEW.settled_at IS NULL OR NEW.logout_at IS DISTINCT FROM OLD.logout_at
        OR NEW.reason IS DISTINCT FROM OLD.reason) THEN
      INSERT INTO ledger_changes (what, user_id, period, old_logout, new_logout, old_reason, new_reason)
        VALUES ('changed', OLD.user_id, OLD.period, OLD.logout_at, NEW.logout_at, OLD.reason, NEW.reason);
    END IF;
    RETURN NULL;
  END $$;
  CREATE TRIGGER ledger_note AFTER UPDATE OR DELETE ON lingxi_periods FOR EACH ROW EXECUTE FUNCTION ledger_note();
  CREATE FUNCTION ledger_time() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    IF NEW.last_spirit_gain_time < OLD.last_spirit_gain_time OR NEW.last_spirit_gain_time IS NULL THEN
      INSERT INTO ledger_changes (what, user_id, period, old_logout, new_logout)
        VALUES ('time moved back', OLD.id, 0, OLD.last_spirit_gain_time, NEW.last_spirit_gain_time);
    END IF;
    RETURN NULL;
  END $$;
  CREATE TRIGGER ledger_time AFTER UPDATE ON users FOR EACH ROW WHEN (OLD.last_spirit_gain_time IS NOT NULL)
    EXECUTE FUNCTION ledger_time();`;

/** A node of the deployment: one name and port, several incarnations. */
export interface SiteNode {
  readonly name: string;
  readonly gateway: Gateway;
  life: NodeLife;
  isAway: boolean;
}

export interface SiteOptions {
  readonly runtimes: readonly Runtime[];
  readonly timeoutMs: number;
  readonly httpTimeoutMs: number;
}

/** Nodes, Redis and PostgreSQL as real processes, and all faults, with their times. */
export class Site {
  readonly world: World;
  readonly nodes: SiteNode[] = [];
  readonly redis: RedisServer;
  readonly postgres: PostgresServer;
  readonly options: SiteOptions;
  readonly #tokens = new Map<number, string>();
  readonly #counts = new Map<string, number>();

  private constructor(options: SiteOptions, redis: RedisServer, postgres: PostgresServer) {
    this.options = options;
    this.redis = redis;
    this.postgres = postgres;
    this.world = new World(options.timeoutMs);
  }

  static async open(options: SiteOptions): Promise<Site> {
    const [redis, postgres] = await Promise.all([
      // Answered writes of Redis survive its kill.
      startRedis({ persistence: true, args: ['--appendfsync', 'always'] }),
      startPostgres(),
    ]);
    const site = new Site(options, redis, postgres);
    try {
      await createUsers(postgres);
      // Committed writes of PostgreSQL survive its kill. The usual server of the tests is faster and less durable.
      await postgres.query('ALTER DATABASE postgres SET synchronous_commit = on');
      for (const runtime of options.runtimes) await site.addNode(runtime);
      await postgres.query(HISTORY);
      return site;
    } catch (error) {
      await site.close();
      throw error;
    }
  }

  async addNode(runtime: Runtime): Promise<void> {
    const { timeoutMs, httpTimeoutMs } = this.options;
    const name = `n${this.nodes.length + 1}`;
    const gateway = await startGateway({
      runtime,
      stores: { redisUrl: this.redis.url, databaseUrl: this.postgres.url },
      env: {
        LINGXI_NODE_NAME: name,
        LINGXI_HEARTBEAT_TIMEOUT_MS: String(timeoutMs),
        LINGXI_HTTP_TIMEOUT_MS: String(httpTimeoutMs),
      },
    });
    const life = new NodeLife(name);
    this.world.lives.push(life);
    this.nodes.push({ name, gateway, life, isAway: false });
  }

  /** The node for a client's next connection. */
  pick(random: Random): SiteNode {
    const near = this.nodes.filter(({ isAway }) => !isAway);
    return random.pick(near.length === 0 || random.chance(BLIND_SHARE) ? this.nodes : near);
  }

  /** A node that answers, for the judges. */
  get answering(): SiteNode | undefined {
    return this.nodes.find(({ isAway }) => !isAway);
  }

  token(userId: number): string {
    const known = this.#tokens.get(userId) ?? this.nodes[0]?.gateway.token(userId) ?? '';
    this.#tokens.set(userId, known);
    return known;
  }

  /** How often each fault was caused. */
  get counts(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#counts);
  }

  async killNode(node: SiteNode): Promise<void> {
    this.#count('node killed');
    node.isAway = true;
    node.life.endedAt = Date.now();
    node.life.end = 'killed';
    await node.gateway.kill();
  }

  /** Stops it as a supervisor does: by a signal. */
  async stopNode(node: SiteNode): Promise<void> {
    this.#count('node stopped');
    node.isAway = true;
    const exit = await node.gateway.terminate();
    node.life.endedAt = Date.now();
    node.life.end = exit.code === 0 ? 'stopped' : 'killed';
  }

  /** A new start under the old name. If a start fails because a store is away, it is tried again, as by a supervisor. */
  async reviveNode(node: SiteNode): Promise<void> {
    const start = (): Promise<void> =>
      node.gateway.restart().catch((error: unknown) => {
        // The polling stops at the error of a start that ended by itself.
        throw new Error(String(error));
      });
    await eventually(start, { timeoutMs: START_AGAIN_MS, intervalMs: 200 });
    node.life = new NodeLife(node.name);
    this.world.lives.push(node.life);
    node.isAway = false;
  }

  freezeNode(node: SiteNode, kind: string): void {
    this.#count(`node frozen ${kind}`);
    node.isAway = true;
    node.life.freezes.begin();
    node.gateway.signalAll('SIGSTOP');
  }

  thawNode(node: SiteNode): void {
    node.gateway.signalAll('SIGCONT');
    node.life.freezes.end();
    node.isAway = false;
  }

  async killRedis(): Promise<void> {
    this.#count('Redis killed');
    this.world.redis.begin();
    await this.redis.kill();
  }

  async reviveRedis(): Promise<void> {
    await this.redis.restart();
    const isLoaded = async (): Promise<void> => {
      if ((await this.redis.cli('PING')) !== 'PONG') throw new Error('Redis still loads its data');
    };
    await eventually(isLoaded, { timeoutMs: START_AGAIN_MS });
    this.world.redis.end();
  }

  freezeRedis(): void {
    this.#count('Redis frozen');
    this.world.redis.begin();
    this.redis.freeze();
  }

  thawRedis(): void {
    this.redis.thaw();
    this.world.redis.end();
  }

  async wipeRedis(): Promise<void> {
    this.#count('Redis wiped');
    this.world.wipes.begin();
    await this.redis.cli('FLUSHALL');
    this.world.wipes.end();
  }

  async killPostgres(): Promise<void> {
    this.#count('PostgreSQL killed');
    this.world.postgres.begin();
    await this.postgres.kill();
  }

  async revivePostgres(): Promise<void> {
    await this.postgres.restart();
    this.world.postgres.end();
  }

  async freezePostgres(): Promise<void> {
    this.#count('PostgreSQL frozen');
    this.world.postgres.begin();
    await this.postgres.freeze();
  }

  thawPostgres(): void {
    this.postgres.thaw();
    this.world.postgres.end();
  }

  async close(): Promise<void> {
    this.redis.thaw();
    this.postgres.thaw();
    for (const { gateway } of this.nodes) gateway.signalAll('SIGCONT');
    await Promise.all(this.nodes.map(({ gateway }) => gateway.stop()));
    await Promise.all([this.redis.stop(), this.postgres.stop()]);
  }

  #count(what: string): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1);
  }
}
