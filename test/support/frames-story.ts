import { deepStrictEqual } from 'node:assert/strict';
import type { NamedLink } from './model/two-sides.ts';
import { claimOf, login, state } from './presence-subject.ts';
import type { Stage } from './script-stories.ts';
import { dump } from './timed-scripts.ts';

const LONG_MS = 3_600_000;
const SENT_TTL_MS = 86_400_000;
const [ON_B, LINGERING, OFFLINE, OPENING, ON_B_AND_C, HERE] = [7, 8, 9, 10, 11, 12];

/** Frames from node a: their receivers, their contents, their numbers. Only b listens. */
export async function playFrames(link: NamedLink, stage: Stage): Promise<void> {
  const [b, c] = [stage.store('b'), stage.store('c')];
  await stage.pass(1, ['a', 'b', 'c']);
  const socket = (user: number, sockets = 1) =>
    claimOf(user, { mode: 'socket', rev: 1, socketMs: LONG_MS, sockets });
  const onB = await login(b, socket(ON_B));
  await login(b, socket(LINGERING));
  await state(b, claimOf(LINGERING, { mode: 'state', rev: 2, sockets: 0, socketMs: LONG_MS }));
  await state(b, socket(OPENING));
  const onBoth = await login(b, socket(ON_B_AND_C));
  await login(c, socket(ON_B_AND_C));
  await login(stage.store('a'), socket(HERE));
  const heard: unknown[] = [];
  const subscriber = link.subscriber();
  subscriber.on('message', (_channel: string, text: string) => heard.push(JSON.parse(text)));
  await subscriber.subscribe(`lingxi:${link.database}:node:b`);
  await link.client.hset('lingxi:nodes', 'foreign', 'x');
  const { post } = stage.store('a');

  const users = [ON_B, LINGERING, OFFLINE, OPENING, ON_B_AND_C, HERE];
  const [routed] = await post.route([{ id: 'p"1', users, fields: '"kind":"x"' }]);
  deepStrictEqual(routed?.nodes, [
    { node: 'b', heard: true, users: 2 },
    { node: 'c', heard: false, users: 1 },
  ]);
  const [first, second, third, fourth, fifth, sixth] = routed?.whereabouts ?? [];
  deepStrictEqual(
    [first, second, third, fourth, sixth],
    [['b'], 'no-connection', 'offline', 'offline', 'no-connection'],
  );
  deepStrictEqual(Array.isArray(fifth) ? [...(fifth as readonly string[])].sort() : fifth, ['b', 'c']);
  const [toAll] = await post.route([{ id: 'p2', users: 'all', fields: '"kind":"y"' }]);
  deepStrictEqual(
    [...(toAll?.nodes ?? [])].sort((left, right) => left.node.localeCompare(right.node)),
    [
      { node: 'b', heard: true, users: 4 },
      { node: 'c', heard: false, users: 1 },
    ],
  );
  const [toGroups] = await post.route([{ id: 'p2', users: 'groups', fields: '"groups":["g"],"kind":"y"' }]);
  deepStrictEqual(
    toGroups?.nodes.map(({ node }) => node).sort((left, right) => left.localeCompare(right)),
    ['b', 'c'],
  );
  deepStrictEqual([await post.tell('b', '"kind":"z"'), await post.tell('gone', '"kind":"z"')], [true, false]);
  await subscriber.ping();
  deepStrictEqual(heard, [
    {
      n: 1,
      from: 'a',
      id: 'p"1',
      users: [
        [ON_B, onB.epoch],
        [ON_B_AND_C, onBoth.epoch],
      ],
      kind: 'x',
    },
    { n: 2, from: 'a', id: 'p2', all: true, kind: 'y' },
    { n: 3, from: 'a', id: 'p2', groups: ['g'], kind: 'y' },
    { n: 4, from: 'a', kind: 'z' },
  ]);
  const sent = (await dump(link)).get('lingxi:sent:a');
  deepStrictEqual(sent?.deadline, stage.now + SENT_TTL_MS);
  deepStrictEqual([...((sent?.content as readonly string[]) ?? [])].sort(), [
    '1',
    '3',
    '4',
    'b',
    'c',
    'gone',
  ]);
  await link.client.set('lingxi:sent:a', 'foreign');
  deepStrictEqual(await post.tell('b', '"kind":"z"'), true);
  await subscriber.ping();
  deepStrictEqual(heard.at(-1), { n: 1, from: 'a', kind: 'z' });
  deepStrictEqual((await dump(link)).get('lingxi:foreign')?.content, ['lingxi:sent:a']);
  for (const number of ['9007199254740993', '-1000']) {
    await link.client.hset('lingxi:sent:a', 'b', number);
    deepStrictEqual(await post.tell('b', '"kind":"z"'), true);
    await subscriber.ping();
    deepStrictEqual(heard.at(-1), { n: 1, from: 'a', kind: 'z' });
  }
  const key = `lingxi:u:${ON_B}`;
  const held = String(await link.client.hget(key, 'h:b'));
  await link.client.hset(key, 'h:b', held.replace(String(onB.epoch), '99999999999999999999'));
  await post.route([{ id: 'p3', users: [ON_B], fields: '"kind":"w"' }]);
  await subscriber.ping();
  deepStrictEqual(heard.at(-1), { n: 2, from: 'a', id: 'p3', users: [[ON_B, 0]], kind: 'w' });
  subscriber.disconnect();
}
