/** The actions of a visitor or of chance. */
export type Slot = 'A' | 'B';
export const SLOTS: readonly Slot[] = ['A', 'B'];
export const USERS = [1, 2, 3, 4, 5] as const;

export type Action =
  | { readonly kind: 'kill' | 'start' | 'freeze' | 'thaw' | 'cut' | 'join'; readonly node: Slot }
  | { readonly kind: 'step-node'; readonly node: Slot; readonly hours: number }
  | { readonly kind: 'step-store'; readonly hours: number }
  | { readonly kind: 'wipe' | 'failover' | 'stop-sql' | 'start-sql' | 'chance-on' | 'chance-off' }
  | { readonly kind: 'connect'; readonly user: number; readonly node: Slot }
  | { readonly kind: 'silent' | 'speak' | 'close' | 'tab' | 'logout'; readonly user: number };

export type ActionKind = Action['kind'];

/** The form of an action in a link. */
const CODES: ReadonlyMap<string, Action> = new Map([
  ...SLOTS.flatMap((node): [string, Action][] => [
    [`k${node}`, { kind: 'kill', node }],
    [`s${node}`, { kind: 'start', node }],
    [`f${node}`, { kind: 'freeze', node }],
    [`t${node}`, { kind: 'thaw', node }],
    [`x${node}`, { kind: 'cut', node }],
    [`j${node}`, { kind: 'join', node }],
    [`u${node}`, { kind: 'step-node', node, hours: 8 }],
    [`d${node}`, { kind: 'step-node', node, hours: -1 }],
  ]),
  ...USERS.flatMap((user): [string, Action][] => [
    [`${user}A`, { kind: 'connect', user, node: 'A' }],
    [`${user}B`, { kind: 'connect', user, node: 'B' }],
    [`${user}s`, { kind: 'silent', user }],
    [`${user}p`, { kind: 'speak', user }],
    [`${user}c`, { kind: 'close', user }],
    [`${user}t`, { kind: 'tab', user }],
    [`${user}l`, { kind: 'logout', user }],
  ]),
  ['w', { kind: 'wipe' }],
  ['o', { kind: 'failover' }],
  ['q', { kind: 'stop-sql' }],
  ['Q', { kind: 'start-sql' }],
  ['u', { kind: 'step-store', hours: 8 }],
  ['d', { kind: 'step-store', hours: -8 }],
  ['r', { kind: 'chance-on' }],
  ['R', { kind: 'chance-off' }],
]);

export const ACTIONS: readonly Action[] = [...CODES.values()];

const CODE_OF = new Map([...CODES].map(([code, action]) => [keyOf(action), code]));

export function codeOf(action: Action): string {
  return CODE_OF.get(keyOf(action)) ?? '';
}

export function actionOf(code: string): Action | undefined {
  return CODES.get(code);
}

function keyOf(action: Action): string {
  return JSON.stringify(Object.entries(action).sort(([left], [right]) => left.localeCompare(right)));
}
