import { describe, expect, it } from 'vitest';
import { MemoryTickets } from '../../../src/gateway/memory-tickets.ts';
import { TICKET_TTL_MS, type TicketStore, Tickets } from '../../../src/gateway/tickets.ts';
import { FakeClock } from '../../../src/lib/fake-clock.ts';

const ANN = { userId: 7, username: 'Ann' };

function open(changes: Partial<TicketStore> = {}) {
  const clock = new FakeClock();
  const memory = new MemoryTickets(clock);
  const store: TicketStore = {
    put: (...args) => memory.put(...args),
    read: (key) => memory.read(key),
    take: (key) => memory.take(key),
    ...changes,
  };
  const state = { isRevoked: false, last: 0 };
  const tickets = new Tickets({
    store,
    clock,
    newTicket: () => String((state.last += 1)).padStart(43, 'A'),
    faultOf: () => (state.isRevoked ? 'invalid-claims' : undefined),
  });
  const issue = async (identity: Parameters<Tickets['issue']>[0] = ANN): Promise<string> => {
    const issued = await tickets.issue(identity);
    if (!issued.ok) throw new Error('no ticket');
    return issued.value.ticket;
  };
  return { clock, memory, tickets, issue, state };
}

describe('tickets', () => {
  it('[CR2] stand once for the whole identity, and a look does not use them up', async () => {
    const { tickets, issue } = open();
    const identity = { ...ANN, expiresAt: 9e15, issuedAt: 5 };
    const ticket = await issue(identity);
    expect(await tickets.look(ticket)).toEqual({ ok: true, value: identity });
    expect(await tickets.redeem(ticket)).toEqual({ ok: true, value: identity });
    expect(await tickets.redeem(ticket)).toEqual({ ok: false, error: 'invalid-token' });
    expect(await tickets.look(ticket)).toEqual({ ok: false, error: 'invalid-token' });
  });

  it('[CR2] are valid for 30 s, not longer, and not beyond the exp of their token', async () => {
    const { clock, tickets, issue } = open();
    const [ticket, late] = [await issue(), await issue()];
    clock.advance(TICKET_TTL_MS - 1);
    expect((await tickets.redeem(ticket)).ok).toBe(true);
    clock.advance(1);
    expect((await tickets.redeem(late)).ok).toBe(false);
    const short = await issue({ ...ANN, expiresAt: clock.now() + 1000 });
    clock.advance(1000);
    expect(await tickets.redeem(short)).toEqual({ ok: false, error: 'invalid-claims' });
  });

  it('[CR3] of a revoked token are void', async () => {
    const { tickets, issue, state } = open();
    const ticket = await issue();
    state.isRevoked = true;
    expect(await tickets.redeem(ticket)).toEqual({ ok: false, error: 'invalid-claims' });
  });

  it('[CR2] a store that does not answer, or has something else, is no ticket', async () => {
    const away = open({
      put: () => Promise.reject(new Error('away')),
      take: () => Promise.reject(new Error('away')),
    });
    expect(await away.tickets.issue(ANN)).toEqual({ ok: false, error: 'presence-unavailable' });
    const form = 'A'.repeat(43);
    expect(await away.tickets.redeem(form)).toEqual({ ok: false, error: 'presence-unavailable' });
    for (const text of ['', 'x', '[]', '{}', '{"userId":"7","username":"x"}', '{"userId":7,"username":1}']) {
      const { tickets } = open({ take: () => Promise.resolve(text) });
      expect(await tickets.redeem(form)).toEqual({ ok: false, error: 'invalid-token' });
    }
  });

  it('[CR2] are limited for each user, and what has expired takes no memory', async () => {
    const { clock, memory, tickets, issue } = open();
    for (let count = 0; count < 30; count += 1) await issue();
    expect(await tickets.issue(ANN)).toEqual({ ok: false, error: { retryAfterS: 1 } });
    expect((await tickets.issue({ ...ANN, userId: 8 })).ok).toBe(true);
    clock.advance(TICKET_TTL_MS);
    await issue();
    expect(memory.size).toBe(1);
  });
});
