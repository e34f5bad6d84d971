import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { at, runLingxi } from '../support/lingxi-command.ts';
import { eventually } from '../support/ports.ts';
import { viewPresence } from '../support/presence-view.ts';
import { type Deployment, deploy, freshUser, ONE_OF_EACH, PATIENT_REDIS_MS } from '../support/stores.ts';
import { type Cluster, startCluster } from '../support/two-nodes.ts';

const CHINESE = /[\u4e00-\u9fff]/;

describe.each(ONE_OF_EACH)('commands for operators on $runtime over $kind', ({ runtime, kind }) => {
  let deployment: Deployment;
  beforeAll(async () => {
    // A user without a connection stays online while a command starts on a busy machine.
    const env = { LINGXI_HEARTBEAT_TIMEOUT_MS: '60000' };
    deployment = await deploy({ runtime, kind, env });
  });
  afterAll(() => deployment?.stop());

  const command = (...args: string[]) => runLingxi([...args, ...at(deployment.gateway)]);

  it.concurrent('push shows the outcome of a message to one user, and ends with 0 or 2', async () => {
    const [online, absent] = [freshUser(), freshUser()];
    const client = await viewPresence(deployment).v1(online);
    const sent = await command('push', 'note', '{"id": 9007199254740993}', '--user', String(online));
    expect([sent.code, sent.out]).toEqual([0, `${online} written, 1 connection`]);
    await client.next('note');
    const text = client.texts.find((received) => received.includes('"type":"note"'));
    expect(text).toContain('"data":{"id": 9007199254740993}');
    const missed = await command('push', 'note', '--user', String(absent));
    expect([missed.code, missed.out]).toEqual([2, `${absent} offline, 0 connections`]);
    client.terminate();
  });

  it.concurrent('push reads the data from standard input, for a list and for all users', async () => {
    const [online, absent] = [freshUser(), freshUser()];
    const client = await viewPresence(deployment).v1(online);
    const list = await runLingxi(
      ['push', 'listed', '-', '--users', `${online},${absent}`, '--json', ...at(deployment.gateway)],
      { input: '{"text":"你好"}\n' },
    );
    expect(list.code).toBe(0);
    expect(JSON.parse(list.out)).toMatchObject({ counts: { written: 1, offline: 1 } });
    expect((await client.next('listed')).data).toEqual({ text: '你好' });
    const all = await command('push', 'everybody', '1', '--all');
    expect(all).toMatchObject({ code: 0, out: expect.stringMatching(/^written \d+$/) });
    expect((await client.next('everybody')).data).toBe(1);
    client.terminate();
  });

  it.concurrent('push --ack succeeds only if a client acknowledged', async () => {
    const user = freshUser();
    const client = await viewPresence(deployment).v1(user);
    const args = ['push', 'order', '--user', String(user), '--ack', '--timeout-ms'];
    const silent = await command(...args, '200');
    expect([silent.code, silent.out]).toEqual([2, `${user} written, 1 connection`]);
    const answered = command(...args, '9000');
    const { id } = await client.next('order');
    client.send({ type: 'ack', id });
    // It comes when the command has started.
    const again = await client.next('order', 20_000);
    client.send({ type: 'ack', id: again.id });
    expect(await answered).toMatchObject({ code: 0, out: `${user} acked, 1 connection` });
    client.terminate();
  });

  it.concurrent('why answers why a user is offline, or online', async () => {
    const user = freshUser();
    const view = viewPresence(deployment);
    const unknown = await command('why', String(user));
    expect(unknown).toMatchObject({
      code: 1,
      output: expect.stringContaining('Nothing is known of this user'),
    });
    const client = await view.v1(user);
    await client.next('welcome');
    const online = await command('why', String(user));
    expect(online.code, online.output).toBe(0);
    expect(online.out).toMatch(
      new RegExp(`^User ${user} is online since [\\d-]+ [\\d:.]+, with 1 connection; last sign of life at `),
    );
    expect(online.out).toContain('Online: the user logged in (node ');
    client.terminate();
    await client.closed;
    await eventually(async () => {
      const { body } = await deployment.gateway.service('GET', `/api/online/player/${user}`);
      expect(Number(body['connections'] ?? 0)).toBe(0);
    });
    const alone = await command('why', String(user));
    expect(alone.out).toContain(' without a connection, by HTTP or until the timeout; last sign of life at ');
    await deployment.gateway.service('POST', `/api/users/${user}/disconnect`, { reason: 'cheating' });
    const offline = await command('why', String(user));
    expect(offline.out).toMatch(
      new RegExp(`^User ${user} is offline since [\\d-]+ [\\d:.]+: the service kicked the user\\.\\n`),
    );
    expect(offline.out).toContain('Offline: the service kicked the user, and said: cheating (node ');
    const chinese = await runLingxi(['why', String(user), ...at(deployment.gateway)], {
      env: { LINGXI_LANGUAGE: 'zh' },
    });
    expect(chinese.out).toMatch(new RegExp(`^用户 ${user} 离线：自 .* 起，原因：服务端将用户踢下线。`));
    for (const line of chinese.out.split('\n')) expect(line).toMatch(CHINESE);
    const json = await command('why', String(user), '--json', '--limit', '1');
    expect(JSON.parse(json.out)).toMatchObject({
      player: { status: 'offline' },
      entries: [{ event: 'offline', cause: 'kick', reason: 'cheating' }],
    });
  });

  it.concurrent('nodes shows a table', async () => {
    const { code, out } = await command('nodes');
    expect(code).toBe(0);
    expect(out.split('\n')).toEqual([
      expect.stringMatching(/^NAME +INCARNATION +STATE +USERS +CONNECTIONS +LAST SIGN OF LIFE$/),
      expect.stringMatching(/^\S+ +[a-z0-9]+ +live +\d+ +\d+ +\d\.\d s ago$/),
    ]);
    const json = await command('nodes', '--json');
    expect(JSON.parse(json.out)).toMatchObject({ nodes: [{ state: 'live' }] });
  });
});

describe.each(['bun', 'node'] as const)('lingxi drain with two nodes on %s', (runtime) => {
  let cluster: Cluster;
  beforeAll(async () => {
    // The client must not time out while the commands start.
    cluster = await startCluster({
      nodes: [{ runtime }, { runtime }],
      timeoutMs: 20_000,
      env: { LINGXI_REDIS_TIMEOUT_MS: PATIENT_REDIS_MS },
    });
  });
  afterAll(() => cluster?.stop());

  it('[DR1] drains a node through the other one, and cancels the drain', async () => {
    const [asked, drained] = [cluster.node(0), cluster.node(1)];
    const drain = (...args: string[]) => runLingxi(['drain', ...args, ...at(asked.gateway)]);
    const [user] = [freshUser()];
    const client = await drained.view.v1(user);

    const unnamed = await drain('--yes');
    expect(unnamed).toMatchObject({
      code: 1,
      output: expect.stringMatching(/^There are 2 nodes: name one of a:/),
    });
    const unasked = await drain('b');
    expect(unasked).toMatchObject({ code: 1, output: expect.stringContaining('pass --yes if you mean it') });
    const nowhere = await drain('c', '--yes');
    expect(nowhere).toMatchObject({
      code: 1,
      output: expect.stringContaining('404 not-found: No living node'),
    });
    expect((await drained.gateway.call('GET', '/readyz')).status).toBe(200);

    const done = await drain('b', '--yes');
    expect(done).toMatchObject({ code: 0, out: expect.stringMatching(/^b:\w+ drains\./) });
    expect(await client.next('goodbye')).toMatchObject({ data: { code: 1012 } });
    expect((await client.closed).code).toBe(1012);
    await eventually(async () => {
      const { body } = await asked.gateway.service('GET', '/api/nodes');
      expect(JSON.stringify(body)).toContain('"draining":true');
    });
    const shown = await runLingxi(['nodes', ...at(asked.gateway)]);
    expect(shown.out).toMatch(/^b +\w+ +live, draining +/m);

    const back = await drain('b', '--undo');
    expect(back).toMatchObject({ code: 0, out: expect.stringMatching(/^b:\w+ is in service\.$/) });
    expect((await drained.gateway.call('GET', '/readyz')).status).toBe(200);
    await eventually(async () => {
      const { body } = await asked.gateway.service('GET', '/api/nodes');
      expect(JSON.stringify(body)).not.toContain('"draining":true');
    });
    const again = await runLingxi(['nodes', ...at(asked.gateway)]);
    expect(again.out).not.toContain('draining');
  });
});

describe('mistakes of an operator', () => {
  let deployment: Deployment;
  let web: Server;
  beforeAll(async () => {
    deployment = await deploy({ runtime: 'node', kind: 'embedded' });
    web = createServer((_, response) => response.end('<h1>It works!</h1>'));
    await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve));
  });
  afterAll(async () => {
    await deployment?.stop();
    web?.close();
  });

  const COMMANDS = [['push', 't', '--all'], ['why', '7'], ['nodes'], ['drain', 'a', '--yes']];

  it.concurrent.each(COMMANDS)('%s reports that the key is wrong, and does not print it', async (...args) => {
    const { code, output } = await runLingxi([
      ...args,
      '--url',
      deployment.gateway.url,
      '--key',
      'wrong-key',
    ]);
    expect(code).toBe(1);
    expect(output).toMatch(/ does not take this service key \(40[13] [a-z-]+\): pass the LINGXI_API_KEY /);
    expect(output).not.toContain('wrong-key');
  });

  it.concurrent.each(COMMANDS)('%s reports that the address belongs to another program', async (...args) => {
    const url = `http://127.0.0.1:${(web.address() as AddressInfo).port}`;
    const { code, output } = await runLingxi([...args, '--url', url, '--key', 'k']);
    expect([code, output]).toEqual([
      1,
      `${url} answered 200 without a JSON object: is --url the address of a Lingxi server?\n`,
    ]);
  });

  it.concurrent.each([
    [['why', '07'], /must be an unsigned integer below 2\^53/],
    [['push', 't', '--users', '1,,2'], /must be unsigned integers below 2\^53, separated by commas/],
    [['push', 'pong', '--user', '1'], /answered 400 invalid-body: .*type/],
    [['push'], /missing required argument 'type'/],
    [
      ['token', '--user', '1', '--expires-in', '0'],
      /'0' is invalid\. It must be a whole number of seconds from 1 to /,
    ],
    [['token', '--usr', '1'], /^error: unknown option '--usr'\n\(Did you mean --user\?\)/],
    [['bench', 'soak', '--minuts', '1'], /^error: unknown option '--minuts'/],
  ])('lingxi %j is one clear sentence', async (args, sentence) => {
    const { code, output } = await runLingxi([...args, ...at(deployment.gateway)]);
    expect(code).toBe(1);
    expect(output).toMatch(sentence);
  });

  it.concurrent('probe reports why a token is refused, and what to do', async () => {
    const { gateway } = deployment;
    const stale = await runLingxi([
      'probe',
      '--url',
      gateway.url,
      '--token',
      gateway.token(7, { expiresInS: -9 }),
    ]);
    expect(stale.code).toBe(1);
    expect(stale.output).toBe(
      `${gateway.wsUrl} refused the connection: 401 invalid-token: The token has expired. Pass a fresh --token that an issuer of this server has signed.\n`,
    );
    const env = { JWT_SECRET: 'y'.repeat(32) };
    const foreign = await runLingxi(['probe', '--url', gateway.url, '--user', '7'], { env });
    expect(foreign.output).toMatch(
      /: 401 invalid-token: No key .*\. The token was signed with the secret, .*JWT_SECRET/,
    );
  });

  it.concurrent('push refuses standard input that is not JSON', async () => {
    const args = ['push', 't', '-', '--user', '1', ...at(deployment.gateway)];
    const { code, output } = await runLingxi(args, { input: '{"a":' });
    expect([code, output]).toEqual([1, expect.stringMatching(/^Standard input is not JSON /)]);
  });
});
