import { describe, expect, it } from 'vitest';
import { MAX_IN_TURN, NodeTurns } from '../../../src/gateway/node-turns.ts';
import { systemClock } from '../../../src/lib/clock.ts';

const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** Sends `count` requests in this turn, and records each one when it is answered. */
function ask(turns: NodeTurns, count: number, answered: number[], from = 0): void {
  for (let request = from; request < from + count; request += 1) {
    const turn = turns.next();
    if (turn === undefined) answered.push(request);
    else void turn.then(() => answered.push(request));
  }
}

const numbers = (count: number) => Array.from({ length: count }, (_, index) => index);

describe('the turns of the event loop', () => {
  it('answer a limited number of requests each, in the order of arrival', async () => {
    const turns = new NodeTurns(systemClock());
    const answered: number[] = [];
    ask(turns, 2 * MAX_IN_TURN + 10, answered);
    for (const most of [1, 2]) {
      expect(answered).toEqual(numbers(most * MAX_IN_TURN));
      await nextTurn();
    }
    expect(answered).toEqual(numbers(2 * MAX_IN_TURN + 10));
  });

  it('no request overtakes a waiting one', async () => {
    const turns = new NodeTurns(systemClock());
    const answered: number[] = [];
    ask(turns, MAX_IN_TURN + 1, answered);
    await nextTurn();
    ask(turns, MAX_IN_TURN, answered, MAX_IN_TURN + 1);
    await nextTurn();
    expect(answered).toEqual(numbers(2 * MAX_IN_TURN + 1));
  });

  it('answer a request at once if none came before', async () => {
    const turns = new NodeTurns(systemClock());
    for (let turn = 0; turn < 3; turn += 1) {
      expect(turns.next()).toBeUndefined();
      await nextTurn();
    }
  });
});
