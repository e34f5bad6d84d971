import { describe, expect, it, vi } from 'vitest';
import type { ClaimAnswer } from '../../src/presence/store/port.ts';
import type { SimulatedNode } from './simulated-node.ts';
import { nodesOf, rowsOf, STAGES, type Stage, stageOn } from './stage.ts';

/** Node 2 has the user on a silent socket. It freezes for so long that Redis takes the user from it, and then learns of that. */
function looksDead(stage: Stage, meanwhile: () => void): void {
  const [n1, n2] = nodesOf(stage);
  for (const { socket } of stage.devices) if (socket !== undefined) socket.pings = false;
  meanwhile();
  n2.clock.freeze();
  stage.advance(12_000);
  n2.clock.thaw();
  stage.advance(1500);
  expect(stage.holders(1)).toEqual([n1.name]);
  expect(stage.devices.map(({ socket }) => socket?.isOpen)).toEqual([true]);
}

/** Redis has answered a claim of the node about the user in this way. The answer is still on its way. */
function answered(stage: Stage, node: SimulatedNode, isSo: (answer: ClaimAnswer) => boolean): void {
  let isAnswered = false;
  const claims = vi
    .spyOn(stage.heartbeats, 'claimed')
    .mockImplementation(({ userId }, answer, { node: name }) => {
      isAnswered ||= userId === 1 && name === node.name && isSo(answer);
    });
  for (let ms = 0; ms < 1000 && !isAnswered; ms += 1) stage.advance(1);
  expect(isAnswered).toBe(true);
  claims.mockRestore();
}

/** Redis has answered the node's next claim of the user. */
function claimed(stage: Stage, node: SimulatedNode): void {
  answered(stage, node, () => true);
  // The answer arrives.
  stage.advance(20);
}

/** Whether the node accepts a heartbeat by HTTP. */
function heartbeat(stage: Stage, node: SimulatedNode): boolean | undefined {
  let isTaken: boolean | undefined;
  stage.request(node, async () => {
    isTaken = await stage.proveByHttp(node, 1, false);
  });
  stage.advance(100);
  return isTaken;
}

describe.each(STAGES)('a node that Redis has taken a user from, on %s', (where) => {
  const onStage = stageOn(where);

  it.each(['multi', 'replace'] as const)(
    '[PR7] [PR9] after a logout elsewhere, a node with a socket that Redis lost answers a heartbeat by HTTP with not online, %s',
    (policy) =>
      onStage({ policy }, (stage) => {
        const [n1, n2] = nodesOf(stage);
        const device = stage.device(1);
        stage.connect(device, n2);
        looksDead(stage, () => stage.heartbeatByHttp(n1, 1));
        device.socket?.say('{"type":"ping"}');
        stage.advance(5);
        stage.logout(n1, 1);
        stage.advance(600);
        expect(stage.ends.map(({ reason }) => reason)).toEqual(['logout']);
        expect(heartbeat(stage, n2)).toBe(false);
        stage.advance(1000);
        expect(rowsOf(stage, 1)).toBe(1);
        expect(stage.holders(1)).toEqual([]);
        // A sign of life of the socket counts.
        device.socket?.say('{"type":"ping"}');
        stage.advance(700);
        expect(stage.holders(1)).toEqual([n2.name]);
      })(),
  );

  it(
    '[PR1] [PR7] Redis has taken a user from a node, and the last socket closes: Redis answers the next heartbeat by HTTP',
    onStage({}, (stage) => {
      const [n1, n2] = nodesOf(stage);
      const device = stage.device(1);
      stage.connect(device, n2);
      looksDead(stage, () => stage.heartbeatByHttp(n1, 1));
      stage.logout(n1, 1);
      claimed(stage, n2);
      // The node claims a missing user every half second.
      device.socket?.close(1000);
      stage.advance(20);
      expect(n2.tracker.userHere(1)).toMatchObject({ connections: 0 });
      expect(heartbeat(stage, n2)).toBe(false);
      stage.advance(1000);
      expect(stage.holders(1)).toEqual([]);
      expect(rowsOf(stage, 1)).toBe(1);
    }),
  );

  it(
    '[PR7] [PR11] Redis has taken a user from a node, the last socket closes, and Redis is wiped: the node restores nothing',
    onStage({}, (stage) => {
      const [n1, n2] = nodesOf(stage);
      const device = stage.device(1);
      stage.connect(device, n2);
      looksDead(stage, () => stage.heartbeatByHttp(n1, 1));
      stage.logout(n1, 1);
      claimed(stage, n2);
      device.socket?.close(1000);
      stage.advance(20);
      // The node cannot ask SQL which periods have ended.
      stage.sql.down = true;
      stage.redis.wipe();
      stage.advance(3000);
      expect(stage.holders(1)).toEqual([]);
      stage.sql.down = false;
      stage.advance(1000);
      expect(stage.ends.map(({ reason }) => reason)).toEqual(['logout']);
    }),
  );

  it(
    '[PR1] [PR2] [PR11] Redis is wiped just after it took a user from a node, and the node restores the user: it holds the user',
    onStage({}, (stage) => {
      const [n1, n2] = nodesOf(stage);
      stage.connect(stage.device(1, 'a'), n2);
      const period = stage.period(1);
      // Redis does not know of this proof, so the take-over leaves nothing of the user on this node.
      expect(heartbeat(stage, n2)).toBe(true);
      stage.device(1, 'b').connect(n1);
      answered(stage, n2, ({ kind }) => kind === 'gone');
      stage.redis.wipe();
      answered(stage, n2, ({ kind }) => kind === 'joined');
      stage.advance(500);
      stage.unreachable();
      // The node notices with its next renewal.
      stage.advance(600);
      expect(heartbeat(stage, n2)).toBe(true);
      n1.kill();
      stage.redis.wipe();
      stage.host.down = false;
      const back = stage.device(1, 'c');
      stage.advance(3000);
      expect(stage.holders(1)).toEqual([n2.name]);
      stage.connect(back, n2);
      expect(back.socket?.isOpen).toBe(true);
      expect(stage.period(1)).toBe(period);
      expect(rowsOf(stage, 1)).toBe(1);
    }),
  );

  it.each([0, 5000])(
    '[PR7] [PR9] a socket that Redis lost opens nothing after a logout elsewhere, even if the record has expired after %s ms',
    (lastSeenTtlMs) =>
      onStage({ lastSeenTtlMs }, (stage) => {
        const [n1, n2] = nodesOf(stage);
        const device = stage.device(1);
        stage.connect(device, n2);
        looksDead(stage, () => stage.heartbeatByHttp(n1, 1));
        device.socket?.say('{"type":"ping"}');
        stage.advance(5);
        n2.clock.freeze();
        stage.logout(n1, 1);
        // The logout is settled, and the record of the user has expired.
        stage.advance(lastSeenTtlMs + 1000);
        expect(stage.redis.world.recordOf(1, stage.redis.wall)).toBeUndefined();
        n2.clock.thaw();
        stage.advance(1000);
        expect(stage.ends.map(({ reason }) => reason)).toEqual(['logout']);
        expect(rowsOf(stage, 1)).toBe(1);
        expect(stage.holders(1)).toEqual([]);
        // A sign of life after the logout counts.
        device.socket?.say('{"type":"ping"}');
        stage.advance(700);
        expect(stage.holders(1)).toEqual([n2.name]);
      })(),
  );

  it.each(['multi', 'replace'] as const)(
    '[PR1] [HB1] while another node has the user, a heartbeat by HTTP counts on a node with a silent socket that Redis lost, %s',
    (policy) =>
      onStage({ policy }, (stage) => {
        const [n1, n2] = nodesOf(stage);
        stage.connect(stage.device(1), n2);
        const period = stage.period(1);
        looksDead(stage, () => stage.heartbeatByHttp(n1, 1));
        // The proof on the other node has 1.3 s left.
        expect(heartbeat(stage, n2)).toBe(true);
        const provenAt = stage.scheduler.now;
        stage.advance(20_000);
        const [end, ...more] = stage.ends;
        expect(more).toEqual([]);
        expect(end).toMatchObject({ period, reason: 'timeout' });
        expect(Math.abs((end?.now ?? 0) - provenAt - 15_000)).toBeLessThan(300);
      })(),
  );
});
