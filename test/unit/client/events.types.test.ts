import { expectTypeOf, it } from 'vitest';
import { Connection } from '../../../src/client/client.ts';
import type { Client } from '../../../src/client/types.ts';
import { World } from './world.ts';

interface Game {
  'spirit:grow': { gainAmount: number };
}

it('a map of types gives each listener the type of its data', () => {
  const client: Client<Game> = new Connection<Game>({ token: 'secret' }, new World().env);
  client.on('spirit:grow', (data, info) => {
    expectTypeOf(data).toEqualTypeOf<{ gainAmount: number }>();
    expectTypeOf(info.userId).toEqualTypeOf<number>();
  });
  client.on('welcome', ({ resumed }) => expectTypeOf(resumed).toEqualTypeOf<boolean>());
  client.on('*', (data) => expectTypeOf(data).toEqualTypeOf<unknown>());
  // @ts-expect-error The map does not have this type.
  client.on('spirit:shrink', () => undefined);
  // @ts-expect-error The state is replaced, never changed.
  client.state.reason = 'mine';
  const anything: Client = new Connection({ token: 'secret' }, new World().env);
  anything.on('whatever', (data) => expectTypeOf(data).toEqualTypeOf<unknown>());
});
