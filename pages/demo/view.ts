import type { State } from '../../src/client/types.ts';
import type { GameEvents } from '../../src/game/events.ts';
import type { Text } from './words.ts';

export interface Line {
  readonly key: number;
  readonly at: number;
  readonly text: Text;
  readonly tone?: 'good' | 'warn' | 'bad';
}

/** Where the user was in one second. */
export type Place = 'online' | 'lingering' | 'offline' | 'unknown';

/** What the reader tries out now. */
export type Scene =
  | { readonly name: 'playing' }
  /** The heart is silent: the page speaks as the pages of the Go game. */
  | { readonly name: 'silent' }
  /** The socket is closed, and the page comes back at `returnAt`; absent: when the reader wants. */
  | { readonly name: 'closed'; readonly returnAt?: number; readonly isLoggedOut: boolean }
  /** The node is dead. When it is back, the page goes on with what it did before. */
  | { readonly name: 'killed'; readonly before: LivingScene };

export type LivingScene = Exclude<Scene, { readonly name: 'killed' }>;

/** What the server says of the user. */
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
  /** Why the server could not be asked. */
  readonly problem: Text | undefined;
  readonly timeline: readonly { readonly at: number; readonly event: string; readonly cause: string }[];
  readonly settlementsPending: number;
  readonly strip: readonly Place[];
  readonly news: readonly Line[];
}

/** Before anything has happened. */
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
