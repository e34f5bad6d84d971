import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Gateway, startGateway } from '../support/gateway-process.ts';
import { at, runLingxi } from '../support/lingxi-command.ts';

describe('commands name what is wrong with --url', () => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway({ runtime: 'node', stores: 'embedded' });
  });
  afterAll(() => gateway?.stop());

  it('doctor names the path of a --url behind which no Lingxi answers', async () => {
    const { code, output } = await runLingxi([
      'doctor',
      ...at({ url: `${gateway.url}/some/path`, apiKey: gateway.apiKey }),
      '--users',
      '101,102',
    ]);
    expect([code, output.trim().split('\n')]).toEqual([
      1,
      [
        `✗ server: ${gateway.url}/some/path is no Lingxi server (404 {"error":"There is nothing at this address.","code":"not-found"}): --url has the path /some/path. Pass ${gateway.url}, unless a proxy serves Lingxi below that path`,
      ],
    ]);
  });

  it.each([['nodes'], ['why', '1'], ['push', 'note', '--user', '1']])(
    '%s names the path too',
    async (...args) => {
      const target = at({ url: `${gateway.url}/some/path`, apiKey: gateway.apiKey });
      const { code, output } = await runLingxi([...args, ...target]);
      expect([code, output]).toEqual([
        1,
        `${gateway.url}/some/path answered 404 not-found: There is nothing at this address. --url has the path /some/path. Pass ${gateway.url}, unless a proxy serves Lingxi below that path.\n`,
      ]);
    },
  );

  it.each([
    ['localhost:99999', ': its port 99999 is above 65535.'],
    ['http://localhost:99999', ': its port 99999 is above 65535.'],
    ['localhost:3000', ': http:// is missing.'],
    ['ftp://localhost', ': it begins with ftp://.'],
    ['http://', '.'],
  ])('nodes --url %s says what is wrong with it', async (url, reason) => {
    const { code, output } = await runLingxi(['nodes', ...at({ url, apiKey: 'k' })]);
    expect([code, output]).toEqual([1, `--url must be an address such as http://localhost:3000${reason}\n`]);
  });
});
