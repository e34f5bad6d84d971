import type { CloseCause } from '../protocol/close-codes.ts';
import type { ClientMessage } from '../protocol/codec.ts';
import { EnvelopeEncoder, jsonText } from '../protocol/envelope.ts';
import type { ErrorCode } from '../protocol/error-codes.ts';
import { ERRORS } from '../protocol/error-codes.ts';
import type { ClientConnection } from './client-connection.ts';
import type { ConnectionHost } from './connection-host.ts';

/** First frame of a `lingxi.v1` connection. Epoch and period are decimal strings. */
export function sendWelcome(connection: ClientConnection, host: ConnectionHost): void {
  const { connectionId, epoch, period, resumed } = connection.registration;
  sendSystem(connection, host, {
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

/**
 * Answers a ping with the ping's own timestamp, given as JSON text (empty: it had none), so that digits which no
 * number can hold come back as they came.
 */
export function sendPong(connection: ClientConnection, host: ConnectionHost, timestampJson: string): void {
  const seconds = Math.floor(host.clock.now() / 1000);
  const data = timestampJson === '' ? '{}' : `{"timestamp":${timestampJson}}`;
  connection.send(
    `{"type":"pong","userId":${connection.userId},"timestamp":${seconds},"data":${data}}`,
    'pong',
  );
}

/** Why a connection ends, and when to come back. */
export interface Goodbye {
  readonly code: number;
  readonly reason: CloseCause;
  readonly reconnectAfterMs: number;
}

/** Before a close that one may come back from. */
export function goodbyeFrame(connection: ClientConnection, host: ConnectionHost, goodbye: Goodbye): string {
  return systemFrame(connection, host, { type: 'goodbye', data: goodbye });
}

/** Tells a `lingxi.v1` client that what it asked for was refused. */
export function sendRefusal(
  connection: ClientConnection,
  host: ConnectionHost,
  refusal: { readonly about: string; readonly code: ErrorCode },
): void {
  const data = { ...refusal, message: ERRORS[refusal.code].en };
  sendSystem(connection, host, { type: 'error', data });
}

export function sendTokenAccepted(connection: ClientConnection, host: ConnectionHost): void {
  const data = { expiresAt: connection.tokenExpiresAt ?? null };
  sendSystem(connection, host, { type: 'token', data });
}

/** Handles what only `lingxi.v1` knows. False where the type belongs to the application. */
export function handleProtocolMessage(
  connection: ClientConnection,
  host: ConnectionHost,
  message: ClientMessage,
): boolean {
  const data = message.data as { readonly value?: unknown; readonly token?: unknown } | null | undefined;
  switch (message.type) {
    case 'logout':
      host.logoutRequested(connection);
      return true;
    case 'state':
      if (data?.value === 'active' || data?.value === 'background') connection.clientState = data.value;
      else sendRefusal(connection, host, { about: 'state', code: 'invalid-body' });
      return true;
    case 'token':
      if (typeof data?.token === 'string') host.tokenOffered(connection, data.token);
      else sendRefusal(connection, host, { about: 'token', code: 'invalid-body' });
      return true;
    case 'ack':
      if (typeof message.id === 'string') host.acknowledged(connection, message.id);
      return true;
    default:
      return false;
  }
}

interface SystemMessage {
  readonly type: string;
  readonly data: unknown;
}

function sendSystem(connection: ClientConnection, host: ConnectionHost, message: SystemMessage): void {
  connection.send(systemFrame(connection, host, message), message.type);
}

function systemFrame(connection: ClientConnection, host: ConnectionHost, message: SystemMessage): string {
  const encoder = new EnvelopeEncoder(
    message.type,
    jsonText(message.data),
    Math.floor(host.clock.now() / 1000),
  );
  return encoder.forUser(connection.userId);
}
