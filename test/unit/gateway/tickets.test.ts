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
    giveBack: (key) => memory.giveBack(key),
    ...changes,
  };
  const state = { isRevoked: false, last: 0 };
  const tickets = new Tickets({
    store,
    clock,
    newTicket: () => String((state.last += 1)).padStart(43, 'A'),
    faultOf: () => (state.isRevoked ? 'token-revoked' : undefined),
  });
  const issue = async (identity: Parameters<Tickets['issue']>[0] = ANN): Promise<string> => {
    const issued = await tickets.issue(identity);
    if (!issued.ok) throw new Error('no ticket');
    return issued.value.ticket;
  };
  return { clock, memory, tickets, issue, state };
}

describe('tickets', () => {
  it('[CR2] contain the whole identity once, and a read does not use them up', async () => {
    const { tickets, issue } = open();
    const identity = { ...ANN, expiresAt: 9e15, issuedAt: 5 };
    const ticket = await issue(identity);
    expect(await tickets.look(ticket)).toEqual({ ok: true, value: identity });
    expect(await Promise.all([tickets.take(ticket), tickets.take(ticket)])).toEqual([
      undefined,
      'void-ticket',
    ]);
    expect(await tickets.look(ticket)).toEqual({ ok: false, error: 'void-ticket' });
  });

  it('[DR4] a ticket that is given back is valid for the rest of its time', async () => {
    const { clock, tickets, issue } = open();
    const ticket = await issue();
    clock.advance(TICKET_TTL_MS - 2);
    expect(await tickets.take(ticket)).toBeUndefined();
    clock.advance(1);
    await tickets.giveBack(ticket);
    expect(await tickets.look(ticket)).toEqual({ ok: true, value: ANN });
    expect(await tickets.take(ticket)).toBeUndefined();
    await tickets.giveBack(ticket);
    clock.advance(1);
    expect(await tickets.take(ticket)).toBe('void-ticket');
    const away = open({ giveBack: () => Promise.reject(new Error('away')) });
    await away.tickets.giveBack(ticket);
  });

  it('[CR2] are valid for 30 s, not longer, and not beyond the exp of their token', async () => {
    const { clock, tickets, issue } = open();
    const [ticket, late] = [await issue(), await issue()];
    clock.advance(TICKET_TTL_MS - 1);
    expect((await tickets.look(ticket)).ok).toBe(true);
    clock.advance(1);
    expect((await tickets.look(late)).ok).toBe(false);
    const short = await issue({ ...ANN, expiresAt: clock.now() + 1000 });
    clock.advance(1000);
    expect(await tickets.look(short)).toEqual({ ok: false, error: 'void-ticket' });
  });

  it('[CR3] of a revoked token are void', async () => {
    const { tickets, issue, state } = open();
    const ticket = await issue();
    state.isRevoked = true;
    expect(await tickets.look(ticket)).toEqual({ ok: false, error: 'token-revoked' });
  });

  it('[CR2] without an answer of the store, or with another value, there is no ticket', async () => {
    const away = open({
      put: () => Promise.reject(new Error('away')),
      read: () => Promise.reject(new Error('away')),
      take: () => Promise.reject(new Error('away')),
    });
    expect(await away.tickets.issue(ANN)).toEqual({ ok: false, error: 'presence-unavailable' });
    const form = 'A'.repeat(43);
    expect(await away.tickets.look(form)).toEqual({ ok: false, error: 'presence-unavailable' });
    expect(await away.tickets.take(form)).toBe('presence-unavailable');
    for (const text of ['', 'x', '[]', '{}', '{"userId":"7","username":"x"}', '{"userId":7,"username":1}']) {
      const { tickets } = open({ read: () => Promise.resolve(text) });
      expect(await tickets.look(form)).toEqual({ ok: false, error: 'void-ticket' });
    }
  });

  it('[CR2] are limited for each user, and expired ones take no memory', async () => {
    const { clock, memory, tickets, issue } = open();
    for (let count = 0; count < 30; count += 1) await issue();
    expect(await tickets.issue(ANN)).toEqual({ ok: false, error: { retryAfterS: 1 } });
    expect((await tickets.issue({ ...ANN, userId: 8 })).ok).toBe(true);
    clock.advance(TICKET_TTL_MS);
    await issue();
    expect(memory.size).toBe(1);
  });
});
