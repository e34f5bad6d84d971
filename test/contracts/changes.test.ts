import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Gateway } from '../support/gateway-process.ts';
import { eventually } from '../support/ports.ts';
import { type PresenceView, viewPresence } from '../support/presence-view.ts';
import { type Deployment, deploy, freshUser, ONE_OF_EACH } from '../support/stores.ts';

interface FeedEvent {
  readonly cursor: string;
  readonly userId: number;
  readonly type: string;
  readonly at: number;
  readonly period: string;
  readonly epoch: string;
  readonly reason?: string;
  readonly node: string;
}

describe.concurrent.each(ONE_OF_EACH)('feed and timeline: $runtime, $kind', ({ runtime, kind }) => {
  let deployment: Deployment;
  let gateway: Gateway;
  let view: PresenceView;
  beforeAll(async () => {
    deployment = await deploy({ runtime, kind });
    gateway = deployment.gateway;
    view = viewPresence(deployment);
  });
  afterAll(() => deployment?.stop());

  const feed = async (cursor?: string, limit = 1000) => {
    const query = cursor === undefined ? '' : `&cursor=${cursor}`;
    const { status, body } = await gateway.service('GET', `/api/online/events?limit=${limit}${query}`);
    return {
      status,
      code: body['code'],
      events: (body['events'] ?? []) as FeedEvent[],
      cursor: body['cursor'] as string,
    };
  };

  it.sequential('[PR12] the feed has one entry for each login and logout, in order, and a cursor resumes after it', async () => {
    const user = freshUser();
    await view.login(user);
    const before = await feed();
    const online = before.events.filter(({ userId }) => userId === user);
    expect(online).toEqual([
      expect.objectContaining({ type: 'online', period: expect.stringMatching(/^\d+$/) }),
    ]);
    const logout = await view.logout(user);
    await view.login(user);
    const after = await feed(before.cursor);
    const seen = after.events.filter(({ userId }) => userId === user);
    expect(seen.map(({ type, reason }) => [type, reason])).toEqual([
      ['offline', 'logout'],
      ['online', undefined],
    ]);
    expect(seen[0]).toMatchObject({ at: logout.body['logoutTime'], period: online[0]?.period });
    expect(Number(seen[1]?.period)).toBeGreaterThan(Number(seen[0]?.period));
    expect((await feed(after.cursor)).events.filter(({ userId }) => userId === user)).toEqual([]);
  });

  it.sequential('[PR12] pages of one entry give the same feed', async () => {
    for (const user of [freshUser(), freshUser()]) await view.login(user);
    const whole = (await feed()).events.map(({ cursor }) => cursor);
    const paged: string[] = [];
    for (let page = await feed(undefined, 1); page.events.length > 0; page = await feed(page.cursor, 1)) {
      paged.push(...page.events.map(({ cursor }) => cursor));
    }
    expect(paged.slice(0, whole.length)).toEqual(whole);
  });

  it.sequential('answers 400 to a cursor that the server never returned, and to a limit above 1,000', async () => {
    for (const query of ['cursor=zzz', 'cursor=nonsense', 'cursor=1', 'limit=9999', 'limit=0']) {
      const answer = await deployment.gateway.service('GET', `/api/online/events?${query}`);
      expect([query, answer.status, answer.body['code']]).toEqual([query, 400, 'invalid-body']);
    }
  });

  it.sequential('answers 410 cursor-expired to a cursor that it does not know', async () => {
    for (const cursor of ['1-1', 'other:node-3', '99999999999999-0']) {
      const answer = await feed(encodeURIComponent(cursor));
      expect([answer.status, answer.code]).toEqual([410, 'cursor-expired']);
    }
  });

  it.sequential('[PR12] streams as server-sent events and resumes by Last-Event-ID', async () => {
    const user = freshUser();
    const { cursor } = await feed();
    const headers = {
      authorization: `Bearer ${gateway.apiKey}`,
      accept: 'text/event-stream',
      'last-event-id': cursor,
    };
    const stop = new AbortController();
    const response = await fetch(`${gateway.url}/api/online/events`, { headers, signal: stop.signal });
    expect(response.headers.get('content-type')).toContain('text/event-stream');
    await view.login(user);
    let text = '';
    const decoder = new TextDecoder();
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      text += decoder.decode(chunk, { stream: true });
      if (text.includes(`"userId":${user}`)) break;
    }
    stop.abort();
    const frame = text.split('\n\n').find((part) => part.includes(`"userId":${user}`));
    expect(frame).toMatch(/^id: \S+\nevent: online\ndata: \{/);
    const id = /^id: (\S+)/.exec(frame ?? '')?.[1] ?? '';
    await view.logout(user);
    const rest = (await feed(id)).events.filter(({ userId }) => userId === user);
    expect(rest.map(({ type }) => type)).toEqual(['offline']);
  });

  it.sequential('shows why a user was logged out, newest first', async () => {
    const user = freshUser();
    await view.login(user);
    await gateway.service('POST', `/api/users/${user}/disconnect`, {});
    const { body } = await gateway.service('GET', `/api/users/${user}/timeline`);
    const entries = body['entries'] as Record<string, unknown>[];
    expect(entries.map(({ event, cause }) => [event, cause])).toEqual([
      ['offline', 'kick'],
      ['online', 'login'],
    ]);
    for (const entry of entries) {
      expect(entry).toMatchObject({
        at: expect.any(Number),
        node: expect.any(String),
        epoch: expect.stringMatching(/^\d+$/),
      });
    }
  });

  it.sequential('[PR12] the timeline has each socket that opened and closed, with the cause of the close', async () => {
    const user = freshUser();
    const events = async () => {
      const { body } = await gateway.service('GET', `/api/users/${user}/timeline`);
      const entries = body['entries'] as readonly Readonly<Record<string, unknown>>[];
      return entries.map(({ event, cause }) => `${String(event)}: ${String(cause)}`).reverse();
    };
    await view.login(user);
    const first = await view.v1(user);
    await eventually(async () => expect(await events()).toEqual(['online: login', 'connected: socket']));
    first.socket.close(1000);
    const second = ['online: login', 'connected: socket', 'disconnected: client-closed'];
    await eventually(async () => expect(await events()).toEqual(second));
    const other = await view.v1(user);
    await eventually(async () => expect(await events()).toEqual([...second, 'connected: socket']));
    other.terminate();
    const third = [...second, 'connected: socket', 'disconnected: connection-lost'];
    await eventually(async () => expect(await events()).toEqual(third));
    await view.logout(user);
    await eventually(async () => expect(await events()).toEqual([...third, 'offline: logout']));
  });

  it.sequential('answers 400, not 503, to a cursor that the server never returned', async () => {
    const pages = [
      ['/api/online/players?limit=5', ['zzz', 'inf', '-1', '1.5', '(5', '0x10', '1e3', '9007199254740992']],
      [`/api/users/${freshUser()}/timeline`, ['zzz', '0-0', '0', '1-', '-', '1-x', '1 1', '*', '+']],
    ] as const;
    for (const [path, cursors] of pages) {
      for (const cursor of cursors) {
        const query = `${path.includes('?') ? '&' : '?'}cursor=${encodeURIComponent(cursor)}`;
        const { status, body } = await gateway.service('GET', path + query);
        expect([query, status, body['code']]).toEqual([query, 400, 'invalid-body']);
        expect(body['error']).toContain('cursor');
      }
    }
    const lines = await gateway.logsSoFar();
    expect(lines.map(({ event }) => event)).not.toContain('presence-unavailable');
  });

  it.sequential('needs the service key', async () => {
    const token = gateway.token(freshUser());
    for (const path of ['/api/online/events', '/api/users/1/timeline']) {
      expect((await gateway.call('GET', path, { token })).status).toBe(403);
      expect((await gateway.call('GET', path)).status).toBe(401);
    }
  });
});
