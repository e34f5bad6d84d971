import type { Deployment } from './stores.ts';
import { type Client, type ConnectOptions, connect } from './ws-client.ts';

/** The first frame of a `lingxi.v1` client, with numbers decoded. */
export interface Welcome {
  readonly epoch: number;
  readonly period: number;
  readonly resumed: boolean;
}

/** A deployment in the form that the presence suites use. */
export interface PresenceView {
  /** A client without `lingxi.v1`: nothing but a token. */
  seed(user: number, options?: ConnectOptions): Promise<Client>;
  v1(user: number, options?: ConnectOptions): Promise<Client>;
  /** The body of `GET /api/online/player/<user>`. */
  player(user: number): Promise<Readonly<Record<string, unknown>>>;
  status(user: number): Promise<unknown>;
  login(user: number): ReturnType<Deployment['gateway']['call']>;
  heartbeat(user: number): ReturnType<Deployment['gateway']['call']>;
  logout(user: number, epoch?: number): ReturnType<Deployment['gateway']['call']>;
}

export function viewPresence({ gateway }: Pick<Deployment, 'gateway'>): PresenceView {
  const online = (verb: string, user: number, body: object = {}) =>
    gateway.call('POST', `/api/online/${verb}`, {
      token: gateway.token(user),
      body: { playerId: String(user), ...body },
    });
  const player = async (user: number) => (await gateway.service('GET', `/api/online/player/${user}`)).body;
  return {
    seed: (user, options = {}) => connect(gateway.wsUrl, { token: gateway.token(user), ...options }),
    v1: (user, options = {}) =>
      connect(gateway.wsUrl, { token: gateway.token(user), protocols: ['lingxi.v1'], ...options }),
    player,
    status: async (user) => (await player(user))['status'],
    login: (user) => online('login', user),
    heartbeat: (user) => online('heartbeat', user),
    logout: (user, epoch) => online('logout', user, epoch === undefined ? {} : { epoch }),
  };
}

export async function welcomeOf(client: Client): Promise<Welcome> {
  const data = (await client.next('welcome')).data as Record<string, unknown>;
  return {
    epoch: Number(data['epoch']),
    period: Number(data['period']),
    resumed: data['resumed'] === true,
  };
}
