import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { askRaw, requestText } from '../support/raw-http.ts';
import { type Deployment, deploy, freshUser } from '../support/stores.ts';

const ORIGIN = 'https://game.example';

describe.each(['bun', 'node'] as const)('pages of other sites on %s', (runtime) => {
  let deployment: Deployment;
  beforeAll(async () => {
    deployment = await deploy({
      runtime,
      kind: 'embedded',
      env: { LINGXI_ALLOWED_ORIGINS: ORIGIN, LINGXI_LEGACY_OPEN_API: 'true' },
    });
  });
  afterAll(() => deployment?.stop());

  const port = () => deployment.gateway.port();

  describe('a foreign page', () => {
    const FOREIGN = ['https://evil.example', 'null', `${ORIGIN}.evil.example`, 'http://game.example'];
    const change = async (verb: string, user: number, headers: Record<string, string>) => {
      const answer = await deployment.gateway.call('POST', `/api/online/${verb}`, {
        body: JSON.stringify({ playerId: user }),
        headers: { 'content-type': 'text/plain', ...headers },
      });
      return [answer.status, (answer.json as { code?: string } | undefined)?.code];
    };

    it.each(FOREIGN)('[%s] changes nothing through the open API', async (origin) => {
      const user = freshUser();
      expect(await change('login', user, {})).toEqual([200, undefined]);
      for (const verb of ['logout', 'login', 'heartbeat'])
        expect(await change(verb, user, { origin })).toEqual([403, 'origin-not-allowed']);
      const { body } = await deployment.gateway.service('GET', `/api/online/player/${user}`);
      expect(body['status']).toBe('online');
    });

    it('a foreign page with a credential may change things, and an allowed page without one', async () => {
      const user = freshUser();
      const { gateway } = deployment;
      expect(await change('login', user, { origin: ORIGIN })).toEqual([200, undefined]);
      const key = { authorization: `Bearer ${gateway.apiKey}` };
      expect(await change('heartbeat', user, { origin: 'https://evil.example', ...key })).toEqual([
        200,
        undefined,
      ]);
      expect(await change('logout', user, {})).toEqual([200, undefined]);
    });
  });

  describe('/dev/token', () => {
    const ask = (headers: Record<string, string>) =>
      askRaw(
        port(),
        requestText('GET', '/dev/token?userId=77', {
          headers: { Host: `localhost:${port()}`, ...headers },
        }),
      );

    it.each<[string, Record<string, string>]>([
      ['X-Forwarded-For', { 'X-Forwarded-For': '127.0.0.1' }],
      ['X-Forwarded-Proto', { 'X-Forwarded-Proto': 'https' }],
      ['any other X-Forwarded-', { 'X-Forwarded-Anything': '1' }],
      ['X-Real-IP', { 'X-Real-IP': '127.0.0.1' }],
      ['CF-Connecting-IP', { 'CF-Connecting-IP': '127.0.0.1' }],
      ['CF-Ray', { 'CF-Ray': '1' }],
      ['True-Client-IP', { 'True-Client-IP': '127.0.0.1' }],
      ['X-Client-IP', { 'X-Client-IP': '127.0.0.1' }],
      ['X-Cluster-Client-IP', { 'X-Cluster-Client-IP': '127.0.0.1' }],
      ['Forwarded', { Forwarded: 'for=127.0.0.1' }],
      ['Via', { Via: '1.1 proxy' }],
      ['X-Amzn-Trace-Id', { 'X-Amzn-Trace-Id': 'Root=1' }],
      ['a foreign Origin', { Origin: 'https://evil.example' }],
      ['an Origin that begins as ours', { Origin: 'http://localhost.evil.example' }],
      ['a local file', { Origin: 'null' }],
      ['another site', { 'Sec-Fetch-Site': 'cross-site' }],
      ['another site with our Origin', { Origin: 'http://localhost:5173', 'Sec-Fetch-Site': 'cross-site' }],
      ['a name that was rebound', { Host: 'evil.example' }],
    ])('answers 404 to %s', async (_name, headers) => {
      const answer = await ask(headers);
      expect([answer.status, answer.headers['access-control-allow-origin']]).toEqual([404, undefined]);
      expect(answer.body).not.toMatch(/eyJ/);
    });

    it.each(['http://localhost:5173', 'http://127.0.0.1:8080', 'http://[::1]:9000', 'https://localhost'])(
      'serves the page of %s, and CORS lets that page read the answer',
      async (origin) => {
        const answer = await ask({ Origin: origin, 'Sec-Fetch-Site': 'same-site' });
        expect([answer.status, answer.headers['access-control-allow-origin']]).toEqual([200, origin]);
        expect(answer.headers['vary']?.toLowerCase()).toContain('origin');
      },
    );

    it('serves the console of /docs', async () => {
      const docs = await deployment.gateway.call('GET', '/docs');
      expect(docs.headers.get('content-security-policy')).toContain("connect-src 'self'");
      expect((await ask({ 'Sec-Fetch-Site': 'same-origin' })).status).toBe(200);
      expect((await ask({ 'Sec-Fetch-Site': 'none' })).status).toBe(200);
    });
  });
});
