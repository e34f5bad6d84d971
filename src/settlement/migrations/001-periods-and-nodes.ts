import { sql } from 'kysely';
import type { Migration } from './migration.ts';

export const periodsAndNodes: Migration = {
  name: '001-periods-and-nodes',
  async up(tx, dialect) {
    const time = dialect.timeType;
    await sql`create table lingxi_periods (
      user_id bigint not null,
      period bigint not null,
      login_at ${time} not null,
      last_seen_at ${time},
      logout_at ${time},
      reason text,
      settled_at ${time},
      node text not null,
      primary key (user_id, period)
    )`.execute(tx);
    await sql`create index lingxi_periods_open on lingxi_periods (period, user_id) where settled_at is null`.execute(
      tx,
    );
    // Retention deletes by this index. Without it each pruning would read the whole table.
    await sql`create index lingxi_periods_closed on lingxi_periods (logout_at) where settled_at is not null`.execute(
      tx,
    );
    await sql`create table lingxi_nodes (node text primary key, last_alive_at ${time} not null)`.execute(tx);
  },
};
