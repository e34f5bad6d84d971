import type { ClientProtocol } from '../protocol/frames.ts';

/** A socket to register, with the results of its admission. */
export interface Registration {
  readonly userId: number;
  readonly username: string;
  readonly connectionId: string;
  readonly epoch: number;
  readonly period: number;
  readonly resumed: boolean;
  readonly ip: string;
  readonly protocol: ClientProtocol;
  /** Wall-clock ms at which the token expires; absent: never. */
  readonly tokenExpiresAt?: number | undefined;
  /** Wall-clock ms at which the token was issued; absent: the token has no such time. */
  readonly tokenIssuedAt?: number | undefined;
}

/** What the service can see of one connection. */
export interface ConnectionInfo {
  readonly connectionId: string;
  readonly userId: number;
  readonly username: string;
  readonly epoch: number;
  /** Wall-clock ms. */
  readonly since: number;
  readonly ip: string;
  readonly protocol: ClientProtocol;
  /** What the client reported about itself in a `state` message. */
  readonly state: 'active' | 'background';
  /** Messages that wait behind the socket, and their bytes. */
  readonly queue: number;
  readonly queueBytes: number;
}
