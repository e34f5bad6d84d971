export type { Config } from './config/config.ts';
export type { LoadedConfig } from './config/load.ts';
export { ClientConnection } from './connection/client-connection.ts';
export type { ConnectionInfo, Registration } from './connection/connection-info.ts';
export { ConnectionManager } from './connection/connection-manager.ts';
export type { ManagerEvents } from './connection/events.ts';
export type { InboundStore, MessageHandler } from './connection/inbound.ts';
export type { ManagerObserver, ManagerOptions } from './connection/manager-options.ts';
export type { Socket, SocketEvents, SocketWrite } from './connection/socket.ts';
export {
  type GatewayConfig,
  type GatewayOptions,
  type LoadConfigOptions,
  loadConfig,
} from './create-config.ts';
export { createGateway } from './create-gateway.ts';
export type { Gateway } from './gateway-assembly.ts';
export { type Clock, systemClock } from './lib/clock.ts';
export { FakeClock } from './lib/fake-clock.ts';
export type { Result } from './lib/result.ts';
export { type Log, type LogEvent, type LogFields, silentLog } from './logging/log.ts';
export { createLog, type LogOptions } from './logging/pino-log.ts';
export { type CloseCause, CloseCode } from './protocol/close-codes.ts';
export type { Delivery, DeliveryStatus, DropReason, PushReport, PushRequest } from './protocol/delivery.ts';
export { ERRORS, type ErrorCode } from './protocol/error-codes.ts';
export type { ClientMessage, Envelope } from './protocol/frames.ts';
export { mayReconnect } from './protocol/may-reconnect.ts';
