import { tabStorage } from '../shared/storage.ts';
import { Value } from '../shared/value.ts';

/** The rights of the present key; undefined until the server has answered. */
export type Access = 'service' | 'view' | undefined;

export interface Session {
  readonly key: string;
  readonly access: Access;
}

const NAME = 'lingxi-key';

/** The present key. It is stored only for this tab, and ends with it. */
export const session = new Value<Session | undefined>(stored());

/** The server refused the present key. */
export const wasRefused = new Value(false);

export function signIn(key: string, access: Access): void {
  tabStorage.set(NAME, key);
  wasRefused.set(false);
  session.set({ key, access });
}

export function signOut(): void {
  tabStorage.set(NAME, undefined);
  session.set(undefined);
}

/** An answer to an older key says nothing about the present one. */
export function refuseKey(key: string): void {
  if (session.now?.key !== key) return;
  signOut();
  wasRefused.set(true);
}

export function noteAccess(key: string, access: Access): void {
  const now = session.now;
  if (now?.key === key && now.access !== access) session.set({ key, access });
}

function stored(): Session | undefined {
  const key = tabStorage.get(NAME);
  return key === undefined ? undefined : { key, access: undefined };
}
