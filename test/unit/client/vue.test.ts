import { describe, expect, it } from 'vitest';
import { effectScope } from 'vue';
import { Connection } from '../../../src/client/client.ts';
import type { Client } from '../../../src/client/types.ts';
import { useLingxi } from '../../../src/client/vue.ts';
import { World } from './world.ts';

describe('useLingxi of Vue', () => {
  it('shows the state and the newest data of a client, until its scope ends', () => {
    const world = new World();
    const client: Client<{ note: { a: number } }> = new Connection({ token: 'secret' }, world.env);
    client.connect();
    const scope = effectScope();
    const used = scope.run(() => {
      const lingxi = useLingxi(client);
      return { ...lingxi, note: lingxi.newest('note') };
    });
    if (used === undefined) throw new Error('no scope');
    expect(used.state.value.status).toBe('connecting');
    world.socket.welcome();
    expect(used.isOpen.value).toBe(true);
    world.socket.message('note', { a: 1 });
    expect(used.note.value?.a).toBe(1);
    scope.stop();
    world.socket.message('note', { a: 2 });
    expect(used.note.value?.a).toBe(1);
    // The client belongs to other code.
    expect(client.state.status).toBe('open');
    client.close();
    expect(used.state.value.status).toBe('open');
  });

  it('closes a client that it made itself', () => {
    const world = new World();
    const scope = effectScope();
    const { WebSocket } = world.env;
    if (!WebSocket) throw new Error('no WebSocket');
    const used = scope.run(() => useLingxi({ url: 'ws://host/ws', token: 'secret', WebSocket }));
    expect(world.sockets).toHaveLength(1);
    scope.stop();
    expect(used?.client.state.status).toBe('closed');
    expect(world.socket.isClosed).toBe(true);
  });
});
