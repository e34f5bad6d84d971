import { describe, expect, it, vi } from 'vitest';
import { effectScope, nextTick } from 'vue';
import defaultExport, * as seed from '../../../src/client/seed.ts';
import { WebSocketManager } from '../../../src/client/seed-manager.ts';
import { settle, World } from './world.ts';

function page(address = 'https://game.example/play') {
  const world = new World();
  const manager = new WebSocketManager({ ...world.env, address });
  return { world, manager };
}

/** A page whose connection is open. */
async function connected() {
  const { world, manager } = page();
  const opened = manager.connect('secret', 7);
  world.socket.accept();
  await opened;
  return { world, manager };
}

describe('the exports of the Go game', () => {
  it('are all there, by name', () => {
    expect(Object.keys(seed).sort()).toEqual(
      [
        'WebSocketManager',
        'default',
        'subscribeConnectionEvent',
        'subscribeDungeonEvent',
        'subscribeExplorationEvent',
        'subscribeLeaderboardUpdate',
        'subscribeSpiritGrowth',
        'useDungeonCombat',
        'useExploration',
        'useLeaderboard',
        'useSpiritGrowth',
        'useWebSocket',
        'wsManager',
      ].sort(),
    );
    expect(defaultExport).toBe(seed.wsManager);
    expect(seed.wsManager).toMatchObject({
      ws: null,
      url: null,
      isConnected: false,
      reconnectAttempts: 0,
      maxReconnectAttempts: 5,
      reconnectDelay: 3_000,
      isIntentionallyClosed: false,
    });
  });
});

describe('wsManager', () => {
  it.each([
    ['https://game.example/play', 'wss://game.example:3000/ws?userId=7&token=a%2Fb'],
    ['http://localhost:8080/', 'ws://localhost:3000/ws?userId=7&token=a%2Fb'],
  ])('on %s connects to %s', (address, url) => {
    const { world, manager } = page(address);
    void manager.connect('a/b', 7);
    expect(world.socket.url).toBe(url);
    expect(manager.url).toBe(url);
    expect(manager.ws).toBe(world.socket);
  });

  it('uses a server address unchanged', () => {
    const { world, manager } = page();
    void manager.connect('secret', 7, 'ws://other:1/ws?token=x');
    expect(world.socket.url).toBe('ws://other:1/ws?token=x');
  });

  it('connect() resolves at open, warns if it is connected, and rejects with the error event', async () => {
    const { world, manager } = await connected();
    expect(manager.getConnectionStatus()).toEqual({
      isConnected: true,
      url: world.socket.url,
      reconnectAttempts: 0,
    });
    await manager.connect('secret', 7);
    expect(world.warned).toHaveLength(1);
    expect(world.sockets).toHaveLength(1);
    const other = page();
    const refused = other.manager.connect('secret', 7);
    other.world.socket.end(1006);
    await expect(refused).rejects.toEqual({});
  });

  it('sends a ping each second while it is open', async () => {
    const { world, manager } = await connected();
    world.clock.advance(3_000);
    expect(world.socket.sent).toEqual([1, 2, 3].map(() => ({ type: 'ping', timestamp: expect.any(Number) })));
    manager.stopHeartbeat();
    world.clock.advance(3_000);
    expect(world.socket.pings()).toBe(3);
    manager.startHeartbeat();
    world.socket.end(1006);
    world.clock.advance(2_000);
    expect(world.socket.pings()).toBe(3);
  });

  it('calls listeners with the data and the other fields, one after the other, even if one throws', async () => {
    const { world, manager } = await connected();
    const seen: unknown[] = [];
    manager.on('spirit:grow', () => {
      throw new Error('a bug of the page');
    });
    const callback = (...values: unknown[]) => seen.push(values);
    const stop = manager.on('spirit:grow', callback);
    world.socket.message('spirit:grow', { gainAmount: 1 });
    const timestamp = Math.floor(world.clock.now() / 1000);
    expect(seen).toEqual([[{ gainAmount: 1 }, { userId: 7, timestamp }]]);
    expect(world.reported).toHaveLength(1);
    stop();
    world.socket.message('spirit:grow', {});
    manager.on('own', callback);
    manager.emit('own', 5);
    manager.off('own', callback);
    manager.emit('own', 6);
    expect(seen.slice(1)).toEqual([[5]]);
  });

  it('only warns about unknown types, and survives invalid messages', async () => {
    const { world } = await connected();
    world.socket.message('system_notice', 1);
    world.socket.message('toString', 1);
    world.socket.text('null');
    world.socket.text('{');
    expect(world.warned).toHaveLength(3);
    expect(world.reported).toHaveLength(1);
  });

  it('send() returns whether it succeeded, and never throws', async () => {
    const { world, manager } = page();
    expect(manager.send({ type: 'x' })).toBe(false);
    void manager.connect('secret', 7);
    expect(manager.send({ type: 'x' })).toBe(false);
    world.socket.accept();
    expect(manager.send({ type: 'x' })).toBe(true);
    expect(manager.send({ n: 1n })).toBe(false);
  });

  it('reconnects five times, after 3 s × attempt, and counts from 0 again after an open', async () => {
    const { world } = await connected();
    const begin = world.clock.monotonic();
    world.socket.end(1006);
    for (let attempt = 0; attempt < 8; attempt += 1) {
      await world.clock.advanceAsync(20_000, 500);
      if (world.sockets.length === attempt + 2) world.socket.end(1006);
    }
    expect(world.sockets).toHaveLength(6);
    expect((world.sockets[1]?.openedAt ?? 0) - begin).toBe(3_000);
    const again = await connected();
    for (let round = 1; round <= 7; round += 1) {
      again.world.socket.end(4100);
      again.world.clock.advance(3_000);
      again.world.socket.accept();
    }
    expect(again.world.sockets).toHaveLength(8);
    expect(again.manager.reconnectAttempts).toBe(0);
    await settle();
  });

  it.each([4000, 4001, 4002, 4003, 4099])('stays away after %i', async (code) => {
    const { world, manager } = await connected();
    const closed = vi.fn<() => void>();
    manager.on('connection:close', closed);
    world.socket.end(code);
    world.clock.advance(100_000);
    expect(world.sockets).toHaveLength(1);
    expect(closed).toHaveBeenCalledTimes(1);
    expect(manager.isConnected).toBe(false);
  });

  it('disconnect() closes, and nothing reconnects', async () => {
    const { world, manager } = await connected();
    world.socket.end(1006);
    manager.disconnect();
    world.clock.advance(100_000);
    expect(world.sockets).toHaveLength(1);
    expect(manager.isIntentionallyClosed).toBe(true);
    expect(world.timers).toBe(0);
  });
});

describe('the composables', () => {
  it('keep the newest data and the status of the page', async () => {
    const scope = effectScope();
    const used = scope.run(() => seed.useWebSocket());
    if (used === undefined) throw new Error('no scope');
    const statuses: unknown[] = [];
    used.watchConnectionStatus((...values) => statuses.push(values));
    const stop = used.subscribeSpiritGrowthData((data) => statuses.push(data.gainAmount));
    seed.wsManager.emit('connection:open', {});
    expect(used.connectionStatus.value).toBe('connected');
    seed.wsManager.emit('spirit:grow', { gainAmount: 4, newSpirit: 9 });
    seed.wsManager.emit('connection:error', 'broken');
    expect(used.connectionStatus.value).toBe('error');
    seed.wsManager.emit('connection:close', {});
    await nextTick();
    expect(used.getStatus()).toEqual({
      isConnected: false,
      connectionStatus: 'disconnected',
      spiritData: { gainAmount: 4, newSpirit: 9 },
      dungeonData: null,
      leaderboardData: null,
      explorationData: null,
    });
    expect(statuses).toEqual([['open'], 4, ['error', 'broken'], ['close']]);
    stop();
    seed.wsManager.emit('spirit:grow', { gainAmount: 5 });
    expect(used.spiritData.value?.gainAmount).toBe(4);
    scope.stop();
    seed.wsManager.emit('connection:open', {});
    expect(used.connectionStatus.value).toBe('disconnected');
  });

  it('initWebSocket rethrows, and shows the error', async () => {
    const used = seed.useWebSocket();
    // Node has no WebSocket here.
    vi.spyOn(seed.wsManager, 'connect').mockRejectedValueOnce(new Error('refused'));
    await expect(used.initWebSocket('secret', 7)).rejects.toThrow('refused');
    expect(used.connectionStatus.value).toBe('error');
    used.disconnect();
    expect(used.connectionStatus.value).toBe('disconnected');
    seed.wsManager.isIntentionallyClosed = false;
  });

  it('useSpiritGrowth keeps the newest 100 and sums up', () => {
    const used = seed.useSpiritGrowth();
    for (let newSpirit = 1; newSpirit <= 120; newSpirit += 1)
      used.handleSpiritGrowth({ newSpirit, gainAmount: 2 } as seed.SpiritGrowth);
    expect(used.spiritGrowthEvents.value).toHaveLength(100);
    expect(used.spiritGrowthEvents.value[0]).toMatchObject({
      newSpirit: 120,
      receivedAt: expect.any(Number),
    });
    expect([used.currentSpirit.value, used.totalGainedSpirit.value]).toEqual([120, 240]);
    used.clearHistory();
    expect(used.spiritGrowthEvents.value).toEqual([]);
  });

  it('useDungeonCombat follows a fight', () => {
    const used = seed.useDungeonCombat();
    const states = ['start', 'combat_round', 'treasure', 'victory', 'start', 'defeat', 'new one'].map(
      (eventType) => {
        used.handleDungeonEvent({ eventType, dungeon: 'cave' } as seed.DungeonEvent);
        return used.combatState.value;
      },
    );
    expect(states).toEqual(['fighting', 'fighting', 'fighting', 'victory', 'fighting', 'defeat', 'defeat']);
    expect(used.currentDungeon.value).toBe('cave');
    for (let index = 0; index < 60; index += 1)
      used.handleDungeonEvent({ eventType: 'combat_round' } as seed.DungeonEvent);
    expect(used.combatLog.value).toHaveLength(50);
    used.clearLog();
    expect([used.combatLog.value.length, used.combatState.value]).toEqual([0, 'idle']);
  });

  it('useLeaderboard replaces both on a full refresh, and only the rank on an update', () => {
    const used = seed.useLeaderboard();
    const top10 = [{ rank: 1, userId: 2, username: '<b>' }];
    const rank = (value: number) => ({ rank: value, value, percent: 1 });
    used.handleLeaderboardUpdate({
      type: 'full_refresh',
      category: 'power',
      top10,
      userRank: rank(3),
      timestamp: 1,
    });
    used.handleLeaderboardUpdate({
      type: 'update',
      category: 'power',
      top10: [],
      userRank: rank(4),
      timestamp: 1,
    });
    used.handleLeaderboardUpdate({ type: 'update', category: '__proto__' as 'power', timestamp: 1 });
    expect(used.getLeaderboard('power')).toEqual({ top10, userRank: rank(4) });
    expect(used.getLeaderboard('level')).toEqual({ top10: [], userRank: null });
  });

  it('useExploration follows an exploration', () => {
    const used = seed.useExploration();
    const at = (eventType: string, progress?: number) => {
      used.handleExplorationEvent({ eventType, exploreName: 'forest', progress } as seed.ExplorationEvent);
      return [used.currentExploration.value, used.explorationProgress.value];
    };
    expect(at('start')).toEqual(['forest', 0]);
    expect(at('progress', 40)).toEqual(['forest', 40]);
    expect(at('discovery')).toEqual(['forest', 40]);
    expect(at('complete')).toEqual([null, 0]);
    expect(used.explorationLog.value).toHaveLength(4);
    used.clearLog();
    expect(used.explorationLog.value).toEqual([]);
  });
});
