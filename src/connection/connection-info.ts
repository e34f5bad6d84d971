import type { ClientProtocol } from '../protocol/frames.ts';

/** A socket to be registered, with what its admission decided. */
export interface Registration {
  readonly userId: number;
  readonly username: string;
  readonly connectionId: string;
  readonly epoch: number;
  readonly period: number;
  readonly resumed: boolean;
  readonly ip: string;
  readonly protocol: ClientProtocol;
  /** Wall-clock ms at which the token runs out; absent: never. */
  readonly tokenExpiresAt?: number | undefined;
  /** Wall-clock ms at which the token was issued; absent: the token does not say. */
  readonly tokenIssuedAt?: number | undefined;
}

/** What the service sees of one connection. */
export interface ConnectionInfo {
  readonly connectionId: string;
  readonly userId: number;
  readonly username: string;
  readonly epoch: number;
  /** Wall-clock ms. */
  readonly since: number;
  readonly ip: string;
  readonly protocol: ClientProtocol;
  /** What the client said of itself by a `state` message. */
  readonly state: 'active' | 'background';
  /** Messages behind the socket, and their bytes. */
  readonly queue: number;
  readonly queueBytes: number;
}
