interface Bound {
  readonly document: 'OPERATING' | 'RELIABILITY';
  /** What the document says, word for word. */
  readonly says: string;
}

/**
 * What the documents allow. Each excuse of a witness names the bound that it rests on, so that none is wider than what
 * a reader was told.
 */
export const BOUNDS: Readonly<Record<string, Bound>> = {
  'looks-dead': {
    document: 'OPERATING',
    says: 'A node frozen, or cut off from Redis alone, for longer than the timeout looks dead',
  },
  'recorded-proof': {
    document: 'OPERATING',
    says: "The newest recorded proof of life of a dead node's user is at most about 5 s older than the true one, plus the time in which it could not be recorded",
  },
  'late-statement': {
    document: 'RELIABILITY',
    says: 'A statement that waits in a Redis that stands still makes the proof that it tells as much too new',
  },
  'lost-duty': {
    document: 'OPERATING',
    says: 'A wipe of Redis between a logout and its settlement turns it into `reconciled`',
  },
  rollback: { document: 'OPERATING', says: 'A rollback may show a user online up to one timeout too long' },
  'early-logout': {
    document: 'OPERATING',
    says: 'A wipe or a rollback while the only holder is frozen or cut off may log out early',
  },
  'silent-sql': {
    document: 'RELIABILITY',
    says: 'Where SQL is silent for 500 ms during a restore, everything is restated',
  },
  'lost-period': {
    document: 'OPERATING',
    says: 'A period known only to Redis and to a node that died with it is lost with it',
  },
  'unheard-logout': {
    document: 'RELIABILITY',
    says: 'A heartbeat by HTTP that a node answers before it has heard of a logout elsewhere, half a second at most, counts for nothing',
  },
  'stepped-number': {
    document: 'RELIABILITY',
    says: "after a wipe and a step of Redis's clock back its number may be below one that SQL has",
  },
  overlap: {
    document: 'RELIABILITY',
    says: 'A period that is reconciled while SQL does not know of the next login',
  },
  charged: { document: 'OPERATING', says: 'After an outage of Redis everybody is charged 2 s of silence' },
  'two-holders': {
    document: 'RELIABILITY',
    says: 'Of two nodes that hold a user, SQL names the one that told it last, which each does once a minute',
  },
  'unwritten-life': {
    document: 'RELIABILITY',
    says: 'While SQL takes nothing, or a node stands still, no sign of life is written, nor that a period moved',
  },
  restoring: {
    document: 'RELIABILITY',
    says: 'Until the nodes have restored what they hold, which takes 2 s from the return of Redis, it goes by what it still knows',
  },
};
