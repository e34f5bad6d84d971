import { afterAll, beforeAll } from 'vitest';
import type {
  Claim,
  EndAnswer,
  EndRequest,
  PresenceStore,
  UserRecord,
} from '../../src/presence/store/port.ts';
import type { Duty } from '../../src/protocol/periods.ts';
import {
  claimOf,
  grownUp,
  type PresenceSubject,
  type SubjectCase,
  type SubjectOptions,
} from '../support/presence-subject.ts';

let users = 1000;
let nodes = 0;

export const freshUser = (): number => ++users;

export const socketOf = (userId: number, rev: number, changed: Partial<Claim> = {}): Claim =>
  claimOf(userId, { mode: 'socket', rev, ...changed });

export const httpOf = (userId: number, rev: number, changed: Partial<Claim> = {}): Claim =>
  claimOf(userId, { mode: 'http', rev, ...changed });

export const endOf = (userId: number, changed: Partial<EndRequest> = {}): EndRequest => ({
  userId,
  reason: 'logout',
  epoch: 0,
  proofAgeMs: -1,
  ...changed,
});

/** The functions of a store that the suites use. */
export interface StoreRoom {
  /** A separate store for a node. */
  open(options?: SubjectOptions): Promise<PresenceStore>;
  read(store: PresenceStore, userId: number): Promise<UserRecord | undefined>;
  end(store: PresenceStore, request: EndRequest): Promise<EndAnswer | undefined>;
  dutiesOf(store: PresenceStore, userId: number): Promise<readonly Duty[]>;
  online(store: PresenceStore): Promise<readonly number[]>;
}

/** Opens the subject before the tests of the present `describe`, and stops it after them. */
export function storeRoom(openSubject: SubjectCase[1]): StoreRoom {
  let subject: PresenceSubject | undefined;
  const open = async (options: SubjectOptions = {}): Promise<PresenceStore> => {
    if (subject === undefined) throw new Error('the subject is not open yet');
    return subject.open({ node: `node-${++nodes}`, ...options });
  };
  beforeAll(async () => {
    subject = await openSubject();
    await grownUp(await open());
  });
  afterAll(() => subject?.stop());
  return {
    open,
    read: async (store, userId) => (await store.read([userId]))[0],
    end: async (store, request) => (await store.end([request]))[0],
    dutiesOf: async (store, userId) =>
      (await store.takeDuties(10_000)).filter((duty) => duty.userId === userId),
    online: async (store) => (await store.onlinePage({ limit: 10_000, cursor: undefined })).userIds,
  };
}
