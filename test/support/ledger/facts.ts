import type { NodeLife } from './world.ts';

/** An attempt to connect or log in. `from` and `to`: when it began, and when its outcome was known. */
export interface Login {
  readonly via: 'v1' | 'seed' | 'http';
  readonly life: NodeLife;
  readonly from: number;
  readonly to: number;
  /** `unknown`: no answer, or an answer that does not say whether it took effect. */
  readonly outcome: 'in' | 'refused' | 'unknown';
  /** Only `lingxi.v1` clients get it. */
  readonly welcome:
    | { readonly period: number; readonly epoch: number; readonly resumed: boolean }
    | undefined;
  /** From an HTTP answer. */
  readonly loginTime: number | undefined;
  readonly code: string | undefined;
}

/** A proof of life. Without `to`, it is unknown whether the server received it. */
export interface Beat {
  readonly via: 'socket' | 'http';
  readonly life: NodeLife;
  readonly from: number;
  to: number | undefined;
  /** When its client stopped waiting for the answer. The node may receive it even later. */
  readonly gaveUpAt?: number;
}

export interface Logout {
  readonly by: 'message' | 'http';
  readonly life: NodeLife;
  readonly from: number;
  readonly to: number;
  readonly outcome: 'ended' | 'not-online' | 'unknown';
  readonly logoutTime: number | undefined;
  /** `old`: the user knows that this one is no longer the newest. */
  readonly epoch: 'none' | 'newest' | 'old';
}

export interface Closing {
  readonly life: NodeLife;
  /** Start of the attempt to connect. */
  readonly lineFrom: number;
  readonly at: number;
  readonly code: number;
  /** When the newest proof was sent that the server of this socket surely received. */
  readonly provenAt: number;
  /** The client itself closed or dropped it. */
  readonly byClient: boolean;
}

/** The answer reported that the user is offline. */
export interface Denial {
  readonly life: NodeLife;
  readonly from: number;
  readonly to: number;
  readonly what: string;
  /** Only for a logout with an epoch: it ends nothing but the period of this connection. */
  readonly epoch?: number;
}

/** All facts that one user knows, each list in the order of the endings. */
export class UserFacts {
  readonly userId: number;
  readonly logins: Login[] = [];
  readonly beats: Beat[] = [];
  readonly logouts: Logout[] = [];
  readonly closings: Closing[] = [];
  readonly denials: Denial[] = [];
  /** Faults that the client of this user noticed at once. */
  readonly complaints: string[] = [];
  takeovers = 0;

  constructor(userId: number) {
    this.userId = userId;
  }

  /** Epochs that the user got, oldest first. */
  get epochs(): readonly number[] {
    return this.logins.flatMap(({ welcome }) => (welcome === undefined ? [] : [welcome.epoch]));
  }
}
