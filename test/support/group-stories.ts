import { deepStrictEqual } from 'node:assert/strict';
import type { NamedLink } from './model/two-sides.ts';
import { claimOf, login, state } from './presence-subject.ts';
import type { Stage } from './script-stories.ts';
import { dump } from './timed-scripts.ts';

const LONG_MS = 3_600_000;
const [ON_BOTH, ON_B] = [7, 8];

/** A change of a group through node a, and the frames that b gets. */
export async function playGroupFrames(link: NamedLink, stage: Stage): Promise<void> {
  const [a, b] = [stage.store('a'), stage.store('b')];
  const socket = (user: number) => claimOf(user, { mode: 'socket', rev: 1, socketMs: LONG_MS });
  const { period } = await login(b, socket(ON_BOTH));
  await login(a, socket(ON_BOTH));
  const onB = await login(b, socket(ON_B));
  const heard: string[] = [];
  const subscriber = link.subscriber();
  subscriber.on('message', (channel: string, text: string) => heard.push(`${channel.slice(-1)} ${text}`));
  await subscriber.subscribe(...['a', 'b'].map((node) => `lingxi:${link.database}:node:${node}`));
  const change = async (add: readonly number[], remove: readonly number[]) => {
    const answers = await a.changeGroup({ group: 'g:1', add, remove });
    return answers.map((answer) => ('step' in answer ? answer.step?.version : undefined));
  };
  const [first, second] = await change([ON_BOTH, ON_B], []);
  deepStrictEqual(await change([ON_BOTH], []), [undefined]);
  stage.now += 5;
  await stage.pass(1);
  const [third] = await change([], [ON_B]);
  await subscriber.ping();
  const [both, removed] = [
    `[${ON_BOTH},${period},0,${first},1],[${ON_B},${onB.period},0,${second},1]`,
    `[${ON_B},${onB.period},${second},${third},0]`,
  ];
  deepStrictEqual(heard, [
    `b {"n":1,"from":"a","kind":"group","group":"g:1","users":[${both}]}`,
    `b {"n":2,"from":"a","kind":"group","group":"g:1","users":[${removed}]}`,
  ]);
  subscriber.disconnect();
}

/** Values of a foreign program in the place of groups, and groups of a user without a period. */
export async function playGroupForeign(link: NamedLink, stage: Stage): Promise<void> {
  const a = stage.store('a');
  const key = `lingxi:u:${ON_B}`;
  await link.client.hset(key, 'sg', '5;old');
  await login(a, claimOf(ON_B, { mode: 'socket', rev: 1, socketMs: LONG_MS }));
  deepStrictEqual(await link.client.hexists(key, 'sg'), 0);
  for (const [index, garbage] of [';a', 'x', '5;a b', '9007199254740993;a', 'x;5'].entries()) {
    await link.client.hset(key, 'sg', garbage);
    deepStrictEqual(await state(a, claimOf(ON_B, { mode: 'state', rev: index + 2, socketMs: LONG_MS })), {
      kind: 'held',
    });
    deepStrictEqual([garbage, await link.client.hexists(key, 'sg')], [garbage, 0]);
  }
  const foreign = (await dump(link)).get('lingxi:foreign')?.content as readonly string[];
  deepStrictEqual(new Set(foreign), new Set([key]));
}
