import type { ErrorCode } from '../protocol/error-codes.ts';
import {
  encodeFrame,
  encodePong,
  type ProtocolFrame,
  type Refusable,
  refusalFrame,
  type SystemFrame,
} from '../protocol/frames.ts';
import type { ClientConnection } from './client-connection.ts';
import type { ConnectionHost } from './connection-host.ts';
import { plainTraits } from './send-queue.ts';

/** A pong costs no object besides its text. */
const PONG = plainTraits('pong');

/** The first frame of a `lingxi.v1` connection. */
export function sendWelcome(connection: ClientConnection, host: ConnectionHost): void {
  const { connectionId, epoch, period, resumed } = connection.registration;
  send(connection, host, {
    type: 'welcome',
    data: {
      connectionId,
      epoch: String(epoch),
      period: String(period),
      resumed,
      heartbeatTimeoutMs: host.limits.heartbeatTimeoutMs,
      pingIntervalMs: host.limits.pingIntervalMs,
      node: host.node,
    },
  });
}

/** Answers a ping with the ping's own timestamp, given as JSON text (empty: the ping had none). */
export function sendPong(connection: ClientConnection, host: ConnectionHost, timestampJson: string): void {
  connection.send(encodePong(timestampJson, addressOf(connection, host)), PONG);
}

/** Goes out before a close after which the client may come back. */
export function goodbyeFrame(
  connection: ClientConnection,
  host: ConnectionHost,
  goodbye: Extract<SystemFrame, { readonly type: 'goodbye' }>['data'],
): string {
  return encodeFrame({ type: 'goodbye', data: goodbye }, addressOf(connection, host));
}

/** Tells a `lingxi.v1` client that its request was refused. */
export function sendRefusal(
  connection: ClientConnection,
  host: ConnectionHost,
  refusal: { readonly about: Refusable; readonly code: ErrorCode; readonly type?: string | undefined },
): void {
  send(connection, host, refusalFrame(refusal.about, refusal.code, refusal.type));
}

export function sendTokenAccepted(connection: ClientConnection, host: ConnectionHost): void {
  send(connection, host, { type: 'token', data: { expiresAt: connection.tokenExpiresAt ?? null } });
}

/** Handles the messages that only `lingxi.v1` clients send. */
export function handleProtocolFrame(
  connection: ClientConnection,
  host: ConnectionHost,
  frame: ProtocolFrame,
): void {
  switch (frame.kind) {
    case 'logout':
      return host.happened(connection, { kind: 'logout-requested' });
    case 'state':
      connection.clientState = frame.value;
      return;
    case 'token':
      return host.happened(connection, { kind: 'token-offered', token: frame.token });
    case 'ack':
      return host.happened(connection, { kind: 'acknowledged', id: frame.id });
    case 'unusable':
      // An acknowledgement without an id belongs to no message.
      if (frame.type !== 'ack') sendRefusal(connection, host, { about: frame.type, code: 'invalid-body' });
      return;
  }
}

function send(
  connection: ClientConnection,
  host: ConnectionHost,
  frame: Exclude<SystemFrame, { readonly type: 'pong' }>,
): void {
  connection.send(encodeFrame(frame, addressOf(connection, host)), plainTraits(frame.type));
}

function addressOf(
  connection: ClientConnection,
  host: ConnectionHost,
): { readonly userId: number; readonly timestamp: number } {
  return { userId: connection.userId, timestamp: Math.floor(host.clock.now() / 1000) };
}
