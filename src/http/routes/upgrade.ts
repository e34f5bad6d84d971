import { z } from '@hono/zod-openapi';
import { refused } from '../outcome.ts';
import { addRoute, type RouteTable } from '../route.ts';

/** Describes `GET /ws`. The gateway handles upgrades, so they never come here. The answer to a plain GET says what to do. */
export function addUpgradeRoute(table: RouteTable): void {
  addRoute(table, {
    method: 'get',
    path: '/ws',
    access: 'anyone',
    tag: 'WebSocket',
    summary: 'Opens a WebSocket as the user of a token',
    description: [
      'The token comes as `Authorization: Bearer <token>`, as the subprotocol offer `lingxi.v1, bearer.<token>` (never',
      'echoed), or as `?token=` where LINGXI_QUERY_TOKEN allows it; or a ticket of `POST /api/tickets` comes as',
      '`?ticket=`. A browser that offers `lingxi.v1` is refused in band, by a close code. Frames are JSON envelopes',
      '`{"type","userId","timestamp","data"}`; a client needs only `type`, and sends `{"type":"ping"}` at least',
      'every few seconds. See docs/PROTOCOL.md for what `lingxi.v1` adds and for the close codes.',
    ].join(' '),
    query: z.object({
      token: z.string().optional(),
      ticket: z.string().optional(),
      userId: z.string().optional().openapi({ description: "Where given, must equal the token's user." }),
    }),
    errors: [
      'upgrade-required',
      'origin-not-allowed',
      'overloaded',
      'draining',
      'presence-unavailable',
      'settlement-unavailable',
      'credentials-unavailable',
      'settlement-refused',
      'missing-credentials',
      'missing-subprotocol',
      'invalid-user-id',
      'invalid-token',
      'user-mismatch',
      'blocked',
      'unknown-user',
      'session-exists',
      'session-flapping',
    ],
    handle: () => {
      const refusal = refused('upgrade-required');
      return { ...refusal, error: { ...refusal.error, headers: { upgrade: 'websocket' } } };
    },
  });
}
