import type { State } from '../../src/client/types.ts';
import type { GameEvents } from '../../src/game/events.ts';
import type { Answer } from './ask.ts';
import type { Text } from './words.ts';

export interface Line {
  readonly key: number;
  readonly at: number;
  readonly text: Text;
  readonly tone?: 'good' | 'warn' | 'bad';
}

/** The state of the user in one second. */
export type Place = 'online' | 'lingering' | 'offline' | 'unknown';

/** The present experiment of the reader. */
export type Scene =
  | { readonly name: 'playing' }
  /** The heartbeat is off: the page uses the protocol of the Go game's pages. */
  | { readonly name: 'silent' }
  /** The socket is closed, and the page reconnects at `returnAt`. Absent: when the reader chooses. */
  | { readonly name: 'closed'; readonly returnAt?: number; readonly isLoggedOut: boolean }
  /** The node is dead. When it is back, the page continues with its previous state. */
  | { readonly name: 'killed'; readonly before: LivingScene };

export type LivingScene = Exclude<Scene, { readonly name: 'killed' }>;

/** The server's data about the user. */
export interface Known {
  readonly status: string;
  readonly loginTime?: number;
  readonly lastHeartbeat?: number;
  readonly logoutTime?: number;
  readonly connections?: number;
}

export function livingScene(scene: Scene): LivingScene {
  return scene.name === 'killed' ? scene.before : scene;
}

/** What an answer says of the user. Undefined: the server did not tell. */
export function knownOf(player: Answer): Known | undefined {
  if (player.kind === 'ok') return player.body as unknown as Known;
  // LINGXI_LAST_SEEN_TTL_S=0: the server tells nothing about a user who is offline.
  if (player.kind === 'refused' && player.code === 'unknown-user')
    return { status: 'offline', connections: 0 };
  return undefined;
}

export function hasSocket(known: Known | undefined): boolean {
  return known?.status === 'online' && (known.connections ?? 0) > 0;
}

export interface View {
  readonly connection: State;
  readonly scene: Scene;
  /** Wall-clock ms of the last heartbeat that this page sent. */
  readonly beatAt: number;
  readonly timeoutMs: number;
  readonly node: string;
  readonly spirit: GameEvents['spirit:grow'] | undefined;
  readonly state: GameEvents['game:state'] | undefined;
  readonly board: GameEvents['leaderboard:update'] | undefined;
  readonly dungeon: readonly GameEvents['dungeon:event'][];
  readonly exploration: GameEvents['exploration:event'] | undefined;
  readonly finds: readonly GameEvents['exploration:event'][];
  readonly known: Known | undefined;
  /** Why the server gave no answer. */
  readonly problem: Text | undefined;
  readonly timeline: readonly { readonly at: number; readonly event: string; readonly cause: string }[];
  readonly settlementsPending: number;
  readonly strip: readonly Place[];
  readonly news: readonly Line[];
}

/** The state at the start. */
export const FIRST: View = {
  connection: { status: 'closed', reason: 'new' },
  scene: { name: 'playing' },
  beatAt: 0,
  timeoutMs: 10_000,
  node: '',
  spirit: undefined,
  state: undefined,
  board: undefined,
  dungeon: [],
  exploration: undefined,
  finds: [],
  known: undefined,
  problem: undefined,
  timeline: [],
  settlementsPending: 0,
  strip: [],
  news: [],
};
