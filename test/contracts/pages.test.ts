import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Gateway, startGateway } from '../support/gateway-process.ts';

describe.each(['bun', 'node'] as const)('the pages of a gateway on %s', (runtime) => {
  let development: Gateway;
  let production: Gateway;
  beforeAll(async () => {
    [development, production] = await Promise.all([
      startGateway({ runtime, stores: 'embedded', env: { NODE_ENV: 'development' } }),
      startGateway({ runtime, stores: 'embedded', env: { NODE_ENV: 'production' } }),
    ]);
  });
  afterAll(() => Promise.all([development?.stop(), production?.stop()]));

  const get = (gateway: Gateway, path: string, headers: Record<string, string> = {}) =>
    fetch(gateway.url + path, { headers, redirect: 'manual' });
  const scriptOf = (document: string): string => {
    const [, path = ''] = /<script type="module"[^>]* src="\.\/([^"]+)"/.exec(document) ?? [];
    return path;
  };

  it.each(['/dashboard/', '/'])(
    'serves %s with a strict policy, and lets browsers keep its files permanently',
    async (path) => {
      const page = await get(development, path);
      expect(page.status).toBe(200);
      expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8');
      expect(page.headers.get('cache-control')).toBe('no-cache');
      const policy = page.headers.get('content-security-policy') ?? '';
      expect(policy).toContain("default-src 'none'");
      expect(policy).toContain("frame-ancestors 'none'");
      expect(policy).not.toMatch(/unsafe| \*/);
      const script = scriptOf(await page.text());
      expect(script).toMatch(/^assets\/.+\.js$/);
      const file = await get(development, path + script);
      expect([file.status, file.headers.get('content-type')]).toEqual([
        200,
        'text/javascript; charset=utf-8',
      ]);
      expect(file.headers.get('cache-control')).toBe('public, max-age=31536000, immutable');
      expect(file.headers.get('x-content-type-options')).toBe('nosniff');
    },
  );

  it('sends a page again only after it has changed', async () => {
    const first = await get(development, '/dashboard/');
    const etag = first.headers.get('etag') ?? '';
    const again = await get(development, '/dashboard/', { 'if-none-match': `W/"other", ${etag}` });
    expect([again.status, await again.text()]).toEqual([304, '']);
    expect((await get(development, '/dashboard/', { 'if-none-match': '*' })).status).toBe(304);
    expect((await get(development, '/dashboard/', { 'if-none-match': '"other"' })).status).toBe(200);
  });

  it('compresses files for clients that accept it', async () => {
    const script = scriptOf(await (await get(development, '/dashboard/')).text());
    const packed = await get(development, `/dashboard/${script}`, { 'accept-encoding': 'gzip' });
    const plain = await get(development, `/dashboard/${script}`, { 'accept-encoding': 'identity' });
    expect(packed.headers.get('content-encoding')).toBe('gzip');
    expect(plain.headers.get('content-encoding')).toBe(null);
    expect(await packed.text()).toBe(await plain.text());
    for (const refusal of ['gzip;q=0', 'gzip; q=0.0, identity']) {
      const answer = await get(development, `/dashboard/${script}`, { 'accept-encoding': refusal });
      expect(answer.headers.get('content-encoding'), refusal).toBe(null);
    }
    const weighed = await get(development, `/dashboard/${script}`, { 'accept-encoding': 'gzip;q=0.5' });
    expect(weighed.headers.get('content-encoding')).toBe('gzip');
  });

  it('shows the demo only in development, and the dashboard always', async () => {
    expect((await get(production, '/')).status).toBe(404);
    expect((await get(production, '/dashboard/')).status).toBe(200);
  });

  it('redirects /dashboard to /dashboard/, also below the path of a proxy', async () => {
    const answer = await get(production, '/dashboard');
    expect([answer.status, answer.headers.get('location')]).toEqual([308, './dashboard/']);
  });

  it.each([
    '/dashboard/assets/nothing.js',
    '/dashboard/assets/..%2findex.html',
    '/dashboard/assets/..%2f..%2f..%2fpackage.json',
    '/dashboard/%2e%2e/%2e%2e/package.json',
    '/dashboard/assets/',
    '/assets/__proto__',
  ])('knows no file at %s', async (path) => {
    const answer = await get(development, path);
    expect(answer.status).toBe(404);
    expect(await answer.json()).toMatchObject({ code: 'not-found' });
  });

  it('accepts only GET and HEAD', async () => {
    const encoding = { 'accept-encoding': 'identity' };
    const head = await fetch(`${development.url}/dashboard/`, { method: 'HEAD', headers: encoding });
    expect([head.status, await head.text()]).toEqual([200, '']);
    const body = await (await get(development, '/dashboard/', encoding)).text();
    expect(head.headers.get('content-length')).toBe(String(Buffer.byteLength(body)));
    const post = await fetch(`${development.url}/dashboard/`, { method: 'POST' });
    expect([post.status, post.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
  });
});
