import { describe, expect, it } from 'vitest';
import { dutyOf, found, playedOn } from './excuse-scenes.ts';
import { nodesOf, stageOn } from './stage.ts';

const onStage = stageOn('the rules');
const played = playedOn(onStage);

interface Away {
  /** Time from the proof to the cut. */
  readonly proofBeforeMs: number;
  readonly cutMs: number;
  readonly hasNewer?: boolean;
}

describe('a node that looked dead, and has been back for more than 5 s', () => {
  /**
   * As in history 36858 of seed 20261223: another node holds the user, and is cut off when the linger there expires. A third node
   * sees that the first one looks dead.
   */
  it(
    '[ST5] does not claim again what it could not record before',
    onStage({ policy: 'multi' }, (stage) => {
      const [n1, n2] = nodesOf(stage);
      stage.startNode();
      const [first, second] = [stage.device(1, 'a'), stage.device(1, 'b')];
      stage.connect(first, n1);
      stage.connect(second, n2);
      stage.advance(9000);
      second.socket?.vanish();
      stage.request(n2, () => stage.proveByHttp(n2, 1, false));
      stage.advance(20);
      n2.clock.freeze();
      n2.trouble(stage.scheduler.now, 12_000);
      first.socket?.leave(1006);
      const leftAt = stage.redis.wall;
      stage.advance(9000);
      n1.link.cut = true;
      n1.trouble(stage.scheduler.now, 9000);
      stage.advance(3000);
      n2.clock.thaw();
      stage.advance(5500);
      expect(stage.ends).toEqual([]);
      expect(stage.holders(1)).toEqual([n1.name]);
      n1.link.cut = false;
      stage.advance(2000);
      expect(stage.ends).toHaveLength(1);
      expect(stage.ends[0]?.logoutAt).toBeLessThan(leftAt + 10_000);
      expect(found(stage)).toBe('');
    }),
  );

  it.each([
    ['just before its cut does not count', { proofBeforeMs: 100, cutMs: 9100 }, false],
    ['during its cut does not count', { proofBeforeMs: -2000, cutMs: 9100 }, false],
    ['4.9 s before its cut may not count', { proofBeforeMs: 4900, cutMs: 9100 }, false],
    ['5.1 s before its cut counts', { proofBeforeMs: 5100, cutMs: 9100 }, true],
    ['before its cut counts if that was too short to look dead', { proofBeforeMs: 100, cutMs: 8900 }, true],
    ['after its return counts', { proofBeforeMs: 100, cutMs: 9100, hasNewer: true }, true],
  ])('[HB1] [ST5] a proof by HTTP %s', (_, { proofBeforeMs, cutMs, hasNewer = false }: Away, isFound) =>
    played((stage, period) => {
      const [n1] = nodesOf(stage);
      stage.witness.proved(n1, { userId: 1, period, kind: 'http' });
      const logoutAt = stage.redis.wall + 10_000;
      n1.trouble(stage.scheduler.now + proofBeforeMs, cutMs);
      stage.scheduler.suspend(proofBeforeMs + cutMs + 5100);
      if (hasNewer) stage.witness.proved(n1, { userId: 1, period, kind: 'http' });
      stage.witness.ended(dutyOf(stage, period, { reason: 'timeout', logoutAt }));
      expect(found(stage).includes('ms too early')).toBe(isFound);
      expect(found(stage).includes('[HB1]')).toBe(isFound && (hasNewer || proofBeforeMs + cutMs < 9900));
    })(),
  );
});
