import { type Check, expect } from './check.ts';
import { record, type ServerUnderTest, SOON_MS } from './server-under-test.ts';

export const presenceChecks: readonly Check[] = [
  {
    name: 'connect',
    async run(server) {
      const client = await server.connect('A');
      const welcome = await server.welcomeOf(client);
      expect(!welcome.resumed, `a user who was offline got a resumed period: ${welcome.shown}`);
      await server.expectAlive(client);
      await client.close();
      return `${welcome.shown}, pong with the ping's timestamp`;
    },
  },
  {
    name: 'online in detail, list, status and count',
    async run(server) {
      const client = await server.connect('A');
      await server.welcomeOf(client);
      const detail = await server.detail('A');
      expect(detail.status === 200 && detail.body['status'] === 'online', detail.seen);
      expect(detail.body['playerId'] === String(server.ids.A), `playerId is no string: ${detail.seen}`);
      await expectListed(server);
      const stats = await server.api.get('/ws/stats');
      expect(Number(stats.body['onlineCount']) >= 1, stats.seen);
      await client.close();
      return detail.seen;
    },
  },
  {
    name: 'HTTP login, heartbeat, logout',
    async run(server) {
      const { api, serviceKey, ids } = server;
      // Sends what the page of the Go server sends: the user id as a number, and an empty address.
      const body = { playerId: ids.B, ip: '' };
      const login = await api.post('/api/online/login', { bearer: server.tokens.B, body });
      expect(login.status === 200 && typeof login.body['loginTime'] === 'number', `login: ${login.seen}`);
      const beat = await api.post('/api/online/heartbeat', {
        bearer: serviceKey,
        body: { playerId: String(ids.B) },
      });
      expect(
        beat.status === 200 && typeof beat.body['lastHeartbeat'] === 'number',
        `heartbeat: ${beat.seen}`,
      );
      const online = await server.detail('B');
      expect(online.body['status'] === 'online', `after login: ${online.seen}`);
      const logout = await server.logout('B');
      expect(
        logout.status === 200 && typeof logout.body['logoutTime'] === 'number',
        `logout: ${logout.seen}`,
      );
      const offline = await server.untilOffline('B', 0);
      if (server.keepsRecords) {
        expect(offline.body['logoutTime'] === logout.body['logoutTime'], `after logout: ${offline.seen}`);
      }
      const late = await api.post('/api/online/heartbeat', { bearer: serviceKey, body: { playerId: ids.B } });
      expect(
        late.status === 404 && late.body['code'] === 'not-online',
        `heartbeat after logout: ${late.seen}`,
      );
      return `${logout.seen}, then ${server.keepsRecords ? 'offline' : 'no record kept'}`;
    },
  },
  {
    name: 'logout closes the sockets',
    async run(server) {
      const client = await server.connect('A');
      await server.welcomeOf(client);
      const logout = await server.logout('A');
      expect(logout.status === 200, logout.seen);
      const closed = await client.closedWithin(SOON_MS);
      expect(closed?.code === 4000, closed === undefined ? 'the socket stays open' : `closed ${closed.code}`);
      await server.untilOffline('A', 0);
      return 'closed 4000, offline';
    },
  },
];

async function expectListed(server: ServerUnderTest): Promise<void> {
  const { api, serviceKey, ids } = server;
  const list = await api.get('/api/online/players', { bearer: serviceKey });
  const players = Array.isArray(list.body['players']) ? list.body['players'] : [];
  const isListed = players.some((player) => record(player)['playerId'] === String(ids.A));
  expect(list.status === 200 && isListed, `not in the list: ${list.seen}`);
  const status = await api.post('/api/online/status', {
    bearer: serviceKey,
    body: { userIds: [ids.B, ids.A] },
  });
  const results = Array.isArray(status.body['results']) ? status.body['results'] : [];
  const shown = results.map((result) => record(result)['status']).join();
  expect(shown === 'offline,online', `status of B, A: ${status.seen}`);
}
