import type { Runtime } from '../gateway-process.ts';
import { Attack, type AttackReport, type Finding } from './attack.ts';
import { KINDS, type Kind } from './case.ts';
import { grownMb, type Holdings, leaks, settle } from './leaks.ts';
import { type PlanSettings, plansFor } from './plans.ts';
import { Stage } from './stage.ts';

export interface RunSettings extends PlanSettings {
  readonly runtime: Runtime;
  /** A wait of the witness up to this length is not a finding, in ms. */
  readonly stallMs: number;
  /**
   * Growth of the memory in RAM up to this size is not a finding, in MB. It is measured from the end of a small attack of each
   * kind.
   */
  readonly growthMb: number;
  readonly progress?: (kind: Kind, units: number) => void;
}

export interface RunReport {
  readonly runtime: Runtime;
  readonly attacks: readonly AttackReport[];
  /** Including those of the warm-up. */
  readonly findings: readonly Finding[];
  readonly leaks: readonly string[];
  readonly worstMs: number;
  readonly restarts: number;
  readonly before: Holdings;
  readonly after: Holdings;
}

/** Share of each kind that is played before the measurement begins. */
const WARM_UP_SHARE = 0.02;
/** Different cases than in the attack itself. */
const WARM_UP_SEED_OFFSET = 1;

/** Attacks one runtime with all kinds, one after another, and checks what is left behind. */
export async function runAttacks(settings: RunSettings): Promise<RunReport> {
  const stage = await Stage.open(settings);
  try {
    const warmUp = await attackAll(stage, { ...settings, ...smallShare(settings) });
    let before = await settle(stage, undefined);
    const { restarts } = stage;
    const attacks = await attackAll(stage, settings);
    // A restarted process is compared only with itself.
    if (stage.restarts > restarts) before = await settle(stage, undefined);
    const after = await settle(stage, before);
    const found = [...leaks(after, before)];
    const grown = grownMb(after, before);
    if (grown > settings.growthMb)
      found.push(`${grown} MB more in RAM than before (limit ${settings.growthMb})`);
    const { runtime } = settings;
    return {
      runtime,
      attacks,
      findings: [...warmUp, ...attacks].flatMap(({ findings }) => findings),
      leaks: found,
      worstMs: stage.worstMs,
      restarts: stage.restarts,
      before,
      after,
    };
  } finally {
    await stage.stop();
  }
}

/** Plays one case alone; returns its finding. */
export async function replay(settings: RunSettings, kind: Kind, index: number): Promise<Finding | undefined> {
  const stage = await Stage.open(settings);
  const { plans, stop } = plansFor(stage, settings);
  try {
    return await new Attack(stage, plans[kind]).runOne(index);
  } finally {
    stop();
    await stage.stop();
  }
}

async function attackAll(stage: Stage, settings: RunSettings): Promise<readonly AttackReport[]> {
  const { plans, stop } = plansFor(stage, settings);
  const reports: AttackReport[] = [];
  try {
    for (const kind of KINDS) {
      if (plans[kind].count === 0) continue;
      const attack = new Attack(stage, plans[kind]);
      reports.push(await attack.run((units) => settings.progress?.(kind, units)));
    }
  } finally {
    stop();
  }
  return reports;
}

function smallShare({ counts, seed }: RunSettings): Pick<RunSettings, 'counts' | 'seed'> {
  const few = (count: number): number => Math.ceil(count * WARM_UP_SHARE);
  const { frames, json, handshakes, bus } = counts;
  return {
    seed: seed + WARM_UP_SEED_OFFSET,
    counts: { frames: few(frames), json: few(json), handshakes: few(handshakes), bus: few(bus) },
  };
}
