import { ok } from '../../lib/result.ts';
import { type LoginRefusal, loginRetryAfterS } from '../../presence/api.ts';
import type { Bilingual } from '../../protocol/error-codes.ts';
import { mayActFor } from '../access.ts';
import { fieldDetail } from '../body.ts';
import { type Outcome, refused } from '../outcome.ts';
import { addRoute, askPresence, audit, blockedUntil, bodyOf, type Call, type RouteTable } from '../route.ts';
import {
  HeartbeatAnswer,
  HeartbeatBody,
  LoginAnswer,
  LoginBody,
  LogoutAnswer,
  LogoutBody,
} from './online.schemas.ts';

const MESSAGES = {
  login: { en: 'Logged in.', zh: '登录成功' },
  heartbeat: { en: 'Heartbeat received.', zh: '心跳更新成功' },
  logout: { en: 'Logged out.', zh: '登出成功' },
} as const satisfies Record<string, Bilingual>;

const seedsOwn = { method: 'post', access: 'open-user', tag: 'Presence' } as const;

/** Login, heartbeat and logout by HTTP. */
export function addOnlineRoutes(table: RouteTable): void {
  addRoute(table, {
    ...seedsOwn,
    path: '/api/online/login',
    summary: 'Brings a user online without a socket, or proves life where the user is online',
    description: 'An unknown user is answered 400 `unknown-user`.',
    body: LoginBody,
    answer: LoginAnswer,
    errors: [
      'invalid-user-id',
      'unknown-user',
      'blocked',
      'presence-unavailable',
      'settlement-unavailable',
      'settlement-refused',
    ],
    handle: login,
  });
  addRoute(table, {
    ...seedsOwn,
    path: '/api/online/heartbeat',
    summary: 'Proves life for a user for LINGXI_HTTP_TIMEOUT_MS',
    body: HeartbeatBody,
    answer: HeartbeatAnswer,
    errors: ['invalid-user-id', 'not-online', 'presence-unavailable'],
    handle: heartbeat,
  });
  addRoute(table, {
    ...seedsOwn,
    path: '/api/online/logout',
    summary: 'Ends the period at once; sockets are closed 4000',
    description:
      'With `epoch` only that connection or an older one is ended. `blockMs` is for the service key alone, and also counts for a user who is offline.',
    body: LogoutBody,
    answer: LogoutAnswer,
    errors: ['forbidden', 'invalid-user-id', 'not-online', 'presence-unavailable'],
    handle: logout,
  });
}

async function login(call: Call): Promise<Outcome> {
  const body = await bodyOf(call, LoginBody);
  if (!body.ok) return body;
  const userId = body.value.playerId;
  if (!mayActFor(call.caller, userId)) return refused('user-mismatch');
  const stated = call.caller.kind === 'user' ? '' : (body.value.ip ?? '');
  const ip = stated === '' ? call.address : stated;
  const creator = call.caller.kind === 'open' ? { creator: call.address } : {};
  const named = call.caller.kind === 'user' ? { username: call.caller.identity.username } : {};
  const result = await call.deps.presence.login({ userId, ip, ...named, ...creator });
  if (!result.ok) return loginRefused(call, result.error);
  audit(call, 'login', { userId });
  return ok(
    call.context.json({
      message: MESSAGES.login[call.language],
      playerId: String(userId),
      loginTime: result.value.loginTime,
    }),
  );
}

function loginRefused(call: Call, code: LoginRefusal): Outcome {
  if (code === 'rate-limited') {
    const retryAfterS = loginRetryAfterS(call.deps.config.loginsPerMinute);
    return { ok: false, error: { code, headers: { 'retry-after': String(retryAfterS) } } };
  }
  return code === 'unknown-user' ? { ok: false, error: { code, status: 400 } } : refused(code);
}

async function heartbeat(call: Call): Promise<Outcome> {
  const body = await bodyOf(call, HeartbeatBody);
  if (!body.ok) return body;
  const userId = body.value.playerId;
  if (!mayActFor(call.caller, userId)) return refused('user-mismatch');
  call.deps.counters.heartbeats += 1;
  const result = await call.deps.presence.heartbeat(userId);
  if (!result.ok) return refused(result.error);
  return ok(
    call.context.json({
      message: MESSAGES.heartbeat[call.language],
      playerId: String(userId),
      lastHeartbeat: result.value.lastHeartbeat,
    }),
  );
}

async function logout(call: Call): Promise<Outcome> {
  const body = await bodyOf(call, LogoutBody);
  if (!body.ok) return body;
  const { playerId: userId, epoch, blockMs } = body.value;
  if (!mayActFor(call.caller, userId)) return refused('user-mismatch');
  // Only the service may block a user. Users may not block themselves.
  if (blockMs !== undefined && call.caller.kind !== 'service')
    return refused('forbidden', fieldDetail('blockMs'));
  const { presence } = call.deps;
  const result = await presence.logout({
    userId,
    reason: 'logout',
    ...(typeof epoch === 'number' ? { epoch } : {}),
    ...(blockMs === undefined ? {} : { blockMs }),
  });
  const done = { userId, blockedUntil: blockedUntil(call, blockMs) };
  if (result.ok) {
    audit(call, 'logout', { userId, blockMs });
    return logoutAnswer(call, { ...done, logoutTime: result.value.logoutTime });
  }
  switch (result.error) {
    case 'presence-unavailable':
      return refused('presence-unavailable');
    case 'superseded':
      return refused('not-online');
    case 'not-online':
      if (blockMs !== undefined) {
        audit(call, 'logout', { userId, blockMs, outcome: 'not-online' });
        return logoutAnswer(call, done);
      }
      return call.deps.config.profile === 'seed' ? logoutOfOffline(call, userId) : refused('not-online');
  }
}

/** The Go server answered a second logout like the first. Its page logs out twice when it closes. */
async function logoutOfOffline(call: Call, userId: number): Promise<Outcome> {
  const recorded = await askPresence(call, call.deps.presence.lastLogout(userId));
  if (!recorded.ok) return recorded;
  return recorded.value === undefined
    ? refused('not-online')
    : logoutAnswer(call, { userId, logoutTime: recorded.value });
}

function logoutAnswer(
  call: Call,
  done: { readonly userId: number; readonly logoutTime?: number; readonly blockedUntil?: number | undefined },
): Outcome {
  return ok(
    call.context.json({
      message: MESSAGES.logout[call.language],
      playerId: String(done.userId),
      logoutTime: done.logoutTime,
      blockedUntil: done.blockedUntil,
    }),
  );
}
