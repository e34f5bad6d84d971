import type { Config } from '../../../src/config/config.ts';
import { Admission, type Decision, type HandshakeRequest } from '../../../src/gateway/admission.ts';
import { createClientAddress } from '../../../src/gateway/client-address.ts';
import type { Credentials } from '../../../src/gateway/credentials.ts';
import { FailedCredentials } from '../../../src/gateway/failed-credentials.ts';
import { FakeClock } from '../../../src/lib/fake-clock.ts';
import { err, ok } from '../../../src/lib/result.ts';
import type { LogFields } from '../../../src/logging/log.ts';
import { Counters } from '../../../src/metrics/counters.ts';
import type { AdmissionRequest, AdmittedLogin, LoginRefusal, Presence } from '../../../src/presence/api.ts';

export const GOOD = 'good-token-of-7';

/** A token is the name of its outcome. The tests of the credentials check real tokens. */
const credentials: Credentials = {
  async verifyUser(token) {
    if (token === GOOD) return ok({ userId: 7, username: '韩立', expiresAt: 123_000 });
    if (token === 'expired') return err('token-expired');
    if (token === 'keyless') return err('credentials-unavailable');
    return err(token === 'bad-id' ? 'invalid-user-id' : 'invalid-token');
  },
  isServiceKey: () => false,
  isViewKey: () => false,
  signUser: () => GOOD,
};

const ticketUser = (ticket: string): Awaited<ReturnType<Credentials['verifyUser']>> => {
  if (ticket === 'good-ticket') return ok({ userId: 7, username: '韩立', issuedAt: 122_000 });
  return err(ticket === 'unanswered' ? 'presence-unavailable' : 'void-ticket');
};

export interface Room {
  /** Used tickets. */
  readonly taken: Set<string>;
  readonly admission: Admission;
  readonly admitted: AdmissionRequest[];
  readonly abandoned: AdmittedLogin[];
  /** Users who proved life by HTTP. */
  readonly proven: number[];
  readonly failed: FailedCredentials;
  readonly logged: LogFields[];
  readonly counters: Counters;
  readonly clock: FakeClock;
  /** The answer of presence. */
  answer: LoginRefusal | 'accept';
  available: boolean;
  beforeDialAnswer: () => void;
}

export function room(config: Partial<Config> = {}): Room {
  const logged: LogFields[] = [];
  const log = (fields: LogFields): void => void logged.push(fields);
  const clock = new FakeClock();
  const counters = new Counters();
  const admitted: AdmissionRequest[] = [];
  const abandoned: AdmittedLogin[] = [];
  const proven: number[] = [];
  const presence = {
    get available() {
      return state.available;
    },
    async admit(request: AdmissionRequest) {
      admitted.push(request);
      state.beforeDialAnswer();
      if (state.answer !== 'accept') return err(state.answer);
      const { userId } = request;
      return ok({ userId, connectionId: 'c1', epoch: 11, period: 5, loginTime: 1, resumed: true });
    },
    holdsHere: () => false,
    abandon: (login: AdmittedLogin) => void abandoned.push(login),
    async heartbeat(userId: number) {
      proven.push(userId);
      return ok({ lastHeartbeat: 1 });
    },
  } as Partial<Presence> as Presence;
  const failed = new FailedCredentials(clock);
  const admission = new Admission({
    config: {
      allowedOrigins: ['https://game.example'],
      queryToken: true,
      maxConnections: 100,
      maxConnectionsPerIp: 0,
      language: 'en',
      loginsPerMinute: 60,
      ...config,
    },
    credentials,
    tickets: {
      look: async (ticket) => ticketUser(ticket),
      async take(ticket) {
        if (state.taken.has(ticket)) return 'void-ticket';
        state.taken.add(ticket);
        return undefined;
      },
      giveBack: async (ticket) => void state.taken.delete(ticket),
    },
    failedCredentials: failed,
    clientAddress: createClientAddress([]),
    presence,
    clock,
    random: () => 0.5,
    log: { debug: log, info: log, warn: log, error: log },
    counters,
  });
  const state: Room = {
    taken: new Set(),
    admission,
    admitted,
    abandoned,
    proven,
    failed,
    logged,
    counters,
    clock,
    answer: 'accept',
    available: true,
    beforeDialAnswer: () => {},
  };
  return state;
}

export function handshake(
  headers: Record<string, string | undefined> = {},
  url = '/ws',
  peer = '192.0.2.9',
): HandshakeRequest {
  const all: Record<string, string | undefined> = {
    host: 'gateway.example',
    upgrade: 'websocket',
    connection: 'keep-alive, Upgrade',
    'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
    'sec-websocket-version': '13',
    authorization: `Bearer ${GOOD}`,
    ...headers,
  };
  return { method: 'GET', url, peer, header: (name) => all[name], hasLeft: () => false };
}

export function outcome(decision: Decision): string {
  return decision.kind === 'accept' ? 'accept' : `${decision.status} ${decision.code}`;
}
