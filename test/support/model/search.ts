import { Random } from '../../simulation/random.ts';
import { DICE, type ModelCommand, OPERATIONS } from './commands.ts';
import type { ModelSettings } from './expected-redis.ts';
import { ModelPlay, NODE_COUNT, USER_COUNT } from './play.ts';
import type { NamedLink } from './two-sides.ts';

const MIN_LENGTH = 40;
const MAX_LENGTH = 160;
const DIE = 9999;
/** A small number, so that users often reach the limit. */
const MAX_GROUPS = 3;
const GROUPED_SHARE = 0.7;
const GROUP_SHARE = 0.2;
/** Groups have their own random numbers, so they leave the rest of a history unchanged. */
const OF_GROUPS = 0x5bd1e995;

export interface Found {
  /** Draws the failed history again: a search that begins with this seed fails at once. */
  readonly seed: number;
  /** The shortest failing list of commands, and the difference at its end. */
  readonly report: string;
}

export interface Searched {
  readonly histories: number;
  /** Calls of scripts after which the answers and the state were compared. */
  readonly commands: number;
  readonly found: Found | undefined;
}

interface History {
  readonly settings: ModelSettings;
  readonly commands: readonly ModelCommand[];
}

/** Plays histories with the seeds from `seed` on. It stops at the first difference, or when `isEnough` says so. */
export async function search(
  link: NamedLink,
  seed: number,
  isEnough: (soFar: { readonly histories: number; readonly commands: number }) => boolean,
  isShrunk = true,
): Promise<Searched> {
  let [histories, commands] = [0, 0];
  while (!isEnough({ histories, commands })) {
    const history = drawHistory(seed + histories);
    const played = await play(link, history);
    histories += 1;
    commands += played.compared;
    if (played.failure === undefined) continue;
    const report = isShrunk ? await shrunk(link, history, played.failure) : played.failure.report;
    return { histories, commands, found: { seed: seed + histories - 1, report } };
  }
  return { histories, commands, found: undefined };
}

export function drawHistory(seed: number): History {
  const random = new Random(seed);
  const settings: ModelSettings = {
    policy: random.pick(['replace', 'replace', 'reject', 'reject', 'multi'] as const),
    maxConnectionsPerUser: random.pick([2, 3]),
    maxGroupsPerUser: MAX_GROUPS,
    lastSeenTtlMs: random.pick([86_400_000, 5000, 0]),
    responsiveLeftMs: random.pick([6000, 0]),
    timelineTtlMs: random.pick([3_600_000, 4000]),
    deadAfterMs: 11_000,
    youngMs: random.pick([2500, 2500, 2500, 1000]),
  };
  // With few users, the commands meet the same user more often.
  const users = random.int(1, USER_COUNT);
  const commands = Array.from({ length: random.int(MIN_LENGTH, MAX_LENGTH) }, () => ({
    operation: random.pick(OPERATIONS),
    node: random.int(0, NODE_COUNT - 1),
    user: random.int(0, users - 1),
    dice: Array.from({ length: DICE }, () => random.int(0, DIE)),
  }));
  return { settings, commands: withGroups(commands, new Random(seed ^ OF_GROUPS)) };
}

/** In most histories, users come and go with groups, and the service changes the groups in between. */
function withGroups(
  commands: readonly Omit<ModelCommand, 'groupDice'>[],
  random: Random,
): readonly ModelCommand[] {
  const isGrouped = random.chance(GROUPED_SHARE);
  const dice = (): readonly number[] => Array.from({ length: DICE }, () => random.int(0, DIE));
  return commands.flatMap((command) => {
    if (!isGrouped) return [{ ...command, groupDice: [0] }];
    const one = { ...command, groupDice: dice() };
    if (!random.chance(GROUP_SHARE)) return [one];
    return [one, { ...one, operation: 'group' as const, dice: dice(), groupDice: [0] }];
  });
}

interface Failure {
  readonly report: string;
  /** How many commands were played, including the failed one. */
  readonly length: number;
}

async function play(
  link: NamedLink,
  { settings, commands }: History,
): Promise<{ readonly compared: number; readonly failure: Failure | undefined }> {
  const lines: string[] = [JSON.stringify(settings)];
  const model = new ModelPlay(link, settings, (line) => lines.push(line));
  let length = 0;
  try {
    await model.begin();
    for (const command of commands) {
      length += 1;
      await model.apply(command);
    }
    return { compared: model.compared, failure: undefined };
  } catch (error) {
    const report = [...lines, error instanceof Error ? `${error.name}: ${error.message}` : String(error)];
    return { compared: model.compared, failure: { report: report.join('\n'), length } };
  }
}

/** Removes commands, many at a time at first, as long as the history still fails. */
async function shrunk(link: NamedLink, history: History, failure: Failure): Promise<string> {
  let commands = history.commands.slice(0, failure.length);
  let { report } = failure;
  for (let size = commands.length >> 1; size >= 1; size >>= 1) {
    for (let start = commands.length - size; start >= 0; start -= size) {
      const fewer = [...commands.slice(0, start), ...commands.slice(start + size)];
      const { failure: still } = await play(link, { ...history, commands: fewer });
      if (still === undefined) continue;
      commands = fewer.slice(0, still.length);
      ({ report } = still);
      start = Math.min(start, commands.length);
    }
  }
  return report;
}
