import { join } from 'node:path';
import Database from 'libsql';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readMetrics } from '../support/metrics.ts';
import { eventually } from '../support/ports.ts';
import { handshake, openRaw } from '../support/raw-socket.ts';
import { type Deployment, deploy, freshUser, ONE_OF_EACH } from '../support/stores.ts';
import { connect } from '../support/ws-client.ts';

const PONG = 10;

describe.each(ONE_OF_EACH)('what an operator sees on $runtime with $kind', ({ runtime, kind }) => {
  let deployment: Deployment;
  beforeAll(async () => {
    deployment = await deploy({ runtime, kind });
  });
  afterAll(() => deployment?.stop());

  const metric = async (series: string): Promise<number> => (await readMetrics(deployment.gateway))(series);

  async function openV1(user: number) {
    const { gateway } = deployment;
    const offer = { 'Sec-WebSocket-Protocol': 'lingxi.v1' };
    const raw = openRaw(gateway.port(), handshake('/ws', gateway.token(user), offer));
    expect((await raw.head).status).toBe(101);
    return raw;
  }

  it('[HB2] the pongs of a client that only answers pings count as heartbeats', async () => {
    const before = await metric('lingxi_heartbeats_total');
    const raw = await openV1(freshUser());
    for (let sent = 0; sent < 5; sent += 1) raw.send({ opcode: PONG });
    await eventually(async () => expect(await metric('lingxi_heartbeats_total')).toBe(before + 5));
    raw.destroy();
  });

  it('[HB2] a pong of a client without lingxi.v1 proves nothing and does not count', async () => {
    const { gateway } = deployment;
    const before = await metric('lingxi_heartbeats_total');
    const raw = openRaw(gateway.port(), handshake('/ws', gateway.token(freshUser())));
    await raw.head;
    for (let sent = 0; sent < 5; sent += 1) raw.send({ opcode: PONG });
    raw.send({ opcode: 1, payload: '{"type":"ping","timestamp":1}' });
    await eventually(async () => expect(await metric('lingxi_heartbeats_total')).toBe(before + 1));
    raw.destroy();
  });

  it('a vanished peer is `connection-lost`, in the log and in the timeline', async () => {
    const { gateway } = deployment;
    const user = freshUser();
    const raw = await openV1(user);
    raw.socket.resetAndDestroy();
    const line = await gateway.waitForLog('disconnected', ({ userId }) => userId === user);
    expect(line['cause']).toBe('connection-lost');
    await eventually(async () => {
      const { body } = await gateway.service('GET', `/api/users/${user}/timeline`);
      expect(body['entries']).toContainEqual(
        expect.objectContaining({ event: 'disconnected', cause: 'connection-lost' }),
      );
    });
  });

  it('[ST7] a logout that SQL rejects permanently appears as a dead letter', async () => {
    const { gateway, stores } = deployment;
    const user = freshUser();
    const client = await connect(gateway.wsUrl, {
      token: gateway.token(user),
      protocols: ['lingxi.v1'],
    });
    await client.next('welcome');
    expect(await metric('lingxi_settlements_set_aside')).toBe(0);
    // The node asks SQL from time to time, and SQL may have stood still for a moment.
    await eventually(async () => expect(await metric('lingxi_settlement_available')).toBe(1));
    if (stores.postgres === undefined) {
      const database = new Database(join(gateway.dataDir, 'data/lingxi.db'));
      database.exec('PRAGMA busy_timeout = 5000');
      database.exec(`create trigger refuse before update on lingxi_periods when new.user_id = ${user}
        begin select raise(abort, 'not this one'); end`);
      database.close();
    } else {
      await stores.postgres.query(
        `ALTER TABLE lingxi_periods ADD CONSTRAINT refuse CHECK (user_id <> ${user} OR settled_at IS NULL)`,
      );
    }
    client.send({ type: 'logout' });
    await gateway.waitForLog('settlement-set-aside', ({ userId }) => userId === user);
    await eventually(async () => expect(await metric('lingxi_settlements_set_aside')).toBe(1));
  });
});
