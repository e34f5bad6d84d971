export type { Config } from './config/config.ts';
export { ClientConnection } from './connection/client-connection.ts';
export type { CloseCause, ConnectionInfo, Registration } from './connection/connection-info.ts';
export {
  ConnectionManager,
  type ManagerObserver,
  type ManagerOptions,
} from './connection/connection-manager.ts';
export type { Delivery, DeliveryStatus, DropReason, PushReport, PushRequest } from './connection/delivery.ts';
export type { ManagerEvents } from './connection/events.ts';
export type { Socket, SocketEvents, SocketWrite } from './connection/socket.ts';
export { createGateway, type Gateway, type GatewayOptions } from './create-gateway.ts';
export { type Clock, systemClock } from './lib/clock.ts';
export { FakeClock } from './lib/fake-clock.ts';
export type { Log } from './logging/log.ts';
export { CloseCode, mayReconnect } from './protocol/close-codes.ts';
export { ERRORS, type ErrorCode } from './protocol/error-codes.ts';
