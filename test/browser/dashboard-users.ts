import { afterEach } from 'vitest';
import type { Chromium } from '../support/chromium.ts';
import type { Gateway } from '../support/gateway-process.ts';
import { type Client, connect } from '../support/ws-client.ts';
import { useBoards } from './dashboard-pages.ts';

export const VIEW_KEY = 'test-view-key-0123456789abcdef0123456789';

interface Entering {
  readonly name?: string | undefined;
  /** A client that also ignores the server's pings. */
  readonly isSilent?: boolean;
}

/** Users of the tests in one window. They leave after each test. */
export function useUsers() {
  const clients: Client[] = [];
  afterEach(() => {
    for (const client of clients.splice(0)) client.terminate();
  });
  return async (gateway: Gateway, user: number, { name, isSilent }: Entering = {}): Promise<Client> => {
    const token = gateway.token(user, name === undefined ? {} : { name });
    const protocols = ['lingxi.v1'];
    const client = await connect(gateway.wsUrl, { token, protocols, autoPong: isSilent !== true });
    clients.push(client);
    return client;
  };
}

// One runtime is enough for a page: the contract tests check the API on both.
export function useDashboards(chromium: () => Chromium) {
  const boards = useBoards(() => chromium().openWindow(), {
    runtime: 'bun',
    stores: 'embedded',
    env: {
      LINGXI_VIEW_KEY: VIEW_KEY,
      LINGXI_HEARTBEAT_TIMEOUT_MS: '5000',
      LINGXI_PING_INTERVAL_MS: '1000',
      LINGXI_HTTP_TIMEOUT_MS: '600000',
      LINGXI_LOGINS_PER_MINUTE: '0',
      LINGXI_NODE_NAME: 'board',
    },
  });
  const enter = useUsers();
  const enterHere = (user: number, how?: Entering) => enter(boards.gateway, user, how);
  return {
    get gateway() {
      return boards.gateway;
    },
    open: boards.open,
    /** One that is signed in. */
    show: (hash = '', key = boards.gateway.apiKey) => boards.open({ url: boards.gateway.url, key, hash }),
    enter: enterHere,
    async stay(user: number, name?: string): Promise<Client> {
      const client = await enterHere(user, { name });
      client.keepAlive(500);
      return client;
    },
  };
}
