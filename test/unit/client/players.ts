import { Connection } from '../../../src/client/client.ts';
import type { ClientOptions, State } from '../../../src/client/types.ts';
import type { World } from './world.ts';

/** A client in a world, with the states that it has had. */
export function start(world: World, options: Partial<ClientOptions> = {}) {
  const client = new Connection(
    { ...(options.getToken === undefined ? { token: 'secret' } : {}), ...options },
    world.env,
  );
  const states: State[] = [];
  client.subscribe((state) => states.push(state));
  client.connect();
  return { client, states };
}

/** A client whose server answers pings. */
export function open(world: World, options: Partial<ClientOptions> = {}) {
  const started = start(world, options);
  world.socket.answer = answersPings(world);
  world.socket.welcome();
  return started;
}

export function answersPings(world: World) {
  const { socket } = world;
  return ({ type }: { type: string }) => {
    if (type === 'ping') world.clock.after(20, () => socket.pong());
  };
}
