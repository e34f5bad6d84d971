import { tabStorage } from '../shared/storage.ts';

export interface User {
  readonly id: number;
  readonly name: string;
}

const PLAYED_AS = 'lingxi-demo-user';

/** After a reload, a page continues as this user. */
export function rememberUser(user: User | undefined): void {
  tabStorage.set(PLAYED_AS, user === undefined ? undefined : JSON.stringify(user));
}

/** `?user=7&name=Ann`, or the user of this tab before the reload. */
export function firstUser(): User | undefined {
  const query = new URLSearchParams(location.search);
  const asked = userOf({ id: query.get('user') ?? '', name: query.get('name') ?? '' });
  if (asked !== undefined) return asked;
  try {
    const kept = JSON.parse(tabStorage.get(PLAYED_AS) ?? 'null') as Partial<Record<string, unknown>> | null;
    return kept === null ? undefined : userOf({ id: String(kept['id']), name: String(kept['name']) });
  } catch {
    return undefined;
  }
}

/** Undefined if the id is invalid. */
export function userOf({ id, name }: { readonly id: string; readonly name: string }): User | undefined {
  const number = Number(id);
  if (!/^[1-9]\d{0,15}$/.test(id) || !Number.isSafeInteger(number)) return undefined;
  // Removes the characters that the server would refuse in a name.
  return { id: number, name: name.replaceAll(/\p{Cc}/gu, '').slice(0, 64) };
}
