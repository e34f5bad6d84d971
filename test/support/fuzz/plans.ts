import type { Plan } from './attack.ts';
import { busCase } from './bus-texts.ts';
import type { Case, Kind } from './case.ts';
import { frameCase } from './frames.ts';
import { handshakeCase } from './handshakes.ts';
import { jsonCase } from './json.ts';
import { BusPlayer } from './play-bus.ts';
import { playHandshake } from './play-handshake.ts';
import { playSocket } from './play-socket.ts';
import { ATTACKERS, type Stage } from './stage.ts';

export interface PlanSettings {
  readonly seed: number;
  readonly counts: Readonly<Record<Kind, number>>;
  readonly maxMessageBytes: number;
  /** Parts to omit, by their descriptions: to find faults other than the known ones. */
  readonly without?: RegExp;
  /** No client waits until the server cuts it, which takes 10 s. */
  readonly isHasty?: boolean;
}

/** Number of connections that are open at the same time. */
const SOCKETS = 48;
const HANDSHAKES = 64;

export interface Plans {
  readonly plans: Readonly<Record<Kind, Plan>>;
  stop(): void;
}

/** The inputs of each kind for one stage. */
export function plansFor(stage: Stage, settings: PlanSettings): Plans {
  const { seed, counts, maxMessageBytes, without } = settings;
  const kept = (input: Case): Case => ({
    ...input,
    parts: without === undefined ? input.parts : input.parts.filter(({ what }) => !without.test(what)),
    leaving: input.leaving === 'wait' && settings.isHasty === true ? 'reset' : input.leaving,
  });
  const { gateway, deployment } = stage;
  const { redis } = deployment.stores;
  if (redis === undefined) throw new Error('the bus needs a Redis');
  const { apiKey, jwtSecret } = gateway;
  const target = { port: gateway.port, jwtSecret, users: ATTACKERS };
  const bus = new BusPlayer(redis, target);
  const size = (input: { readonly parts: readonly unknown[] }): number => input.parts.length;
  return {
    plans: {
      frames: {
        kind: 'frames',
        seed,
        count: counts.frames,
        concurrency: SOCKETS,
        make: (index) => kept(frameCase(seed, index)),
        unitsOf: size,
        play: (input) => playSocket(target, input),
      },
      json: {
        kind: 'json',
        seed,
        count: counts.json,
        concurrency: SOCKETS / 3,
        make: (index) => kept(jsonCase(seed, index, maxMessageBytes)),
        unitsOf: size,
        play: (input) => playSocket(target, input),
      },
      handshakes: {
        kind: 'handshakes',
        seed,
        count: counts.handshakes,
        concurrency: HANDSHAKES,
        make: (index) => kept(handshakeCase(seed, index, { jwtSecret, apiKey, users: ATTACKERS })),
        unitsOf: () => 1,
        play: (input) => playHandshake(gateway.port(), input),
      },
      bus: {
        kind: 'bus',
        seed,
        count: counts.bus,
        concurrency: 1,
        make: (index) => kept(busCase(seed, index, ATTACKERS)),
        unitsOf: size,
        play: (input) => bus.play({ witness: stage.witness, userId: stage.witnessUser }, input),
      },
    },
    stop: () => bus.stop(),
  };
}
