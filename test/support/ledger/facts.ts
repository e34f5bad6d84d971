import type { NodeLife } from './world.ts';

/** A try to be let in. `from` and `to`: when it was begun, and when its outcome was known. */
export interface Login {
  readonly via: 'v1' | 'seed' | 'http';
  readonly life: NodeLife;
  readonly from: number;
  readonly to: number;
  /** `unknown`: no answer, or one that leaves open what happened before it. */
  readonly outcome: 'in' | 'refused' | 'unknown';
  /** Told to `lingxi.v1` clients. */
  readonly welcome:
    | { readonly period: number; readonly epoch: number; readonly resumed: boolean }
    | undefined;
  /** Told by HTTP. */
  readonly loginTime: number | undefined;
  readonly code: string | undefined;
}

/** Something that proves life. Without `to` nobody knows whether it was heard. */
export interface Beat {
  readonly via: 'socket' | 'http';
  readonly life: NodeLife;
  readonly from: number;
  to: number | undefined;
}

export interface Logout {
  readonly by: 'message' | 'http';
  readonly life: NodeLife;
  readonly from: number;
  readonly to: number;
  readonly outcome: 'ended' | 'not-online' | 'unknown';
  readonly logoutTime: number | undefined;
  /** `old`: one that the user knows to be no longer the newest. */
  readonly epoch: 'none' | 'newest' | 'old';
}

export interface Closing {
  readonly life: NodeLife;
  /** When the socket's dial began. */
  readonly lineFrom: number;
  readonly at: number;
  readonly code: number;
  /** When the newest proof was sent that this socket's server surely heard. */
  readonly provenAt: number;
  /** The client itself closed or dropped it. */
  readonly byClient: boolean;
}

/** The user was told to be offline. */
export interface Denial {
  readonly life: NodeLife;
  readonly from: number;
  readonly to: number;
  readonly what: string;
}

/** Everything that one user knows to be true, each list in the order of its endings. */
export class UserFacts {
  readonly userId: number;
  readonly logins: Login[] = [];
  readonly beats: Beat[] = [];
  readonly logouts: Logout[] = [];
  readonly closings: Closing[] = [];
  readonly denials: Denial[] = [];
  /** What this user's client found wrong at once. */
  readonly complaints: string[] = [];
  takeovers = 0;

  constructor(userId: number) {
    this.userId = userId;
  }

  /** Epochs that the user was told of, oldest first. */
  get epochs(): readonly number[] {
    return this.logins.flatMap(({ welcome }) => (welcome === undefined ? [] : [welcome.epoch]));
  }
}
