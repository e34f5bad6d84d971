interface Bound {
  readonly document: 'OPERATING' | 'RELIABILITY';
  /** The exact words of the document. */
  readonly says: string;
}

/**
 * What the documents allow. Each excuse of a witness names the bound behind it, so that no excuse goes beyond what the documents
 * say.
 */
export const BOUNDS: Readonly<Record<string, Bound>> = {
  'looks-dead': {
    document: 'OPERATING',
    says: 'If a node freezes for longer than the timeout, or loses only Redis for that long, it looks dead',
  },
  'recorded-proof': {
    document: 'OPERATING',
    says: 'It is at most about 5 s older than the true one. Time in which the node could not record it comes on top',
  },
  'late-statement': {
    document: 'RELIABILITY',
    says: 'If a claim waits in a frozen Redis, its proof of life is recorded too late by the length of the wait',
  },
  'lost-duty': {
    document: 'OPERATING',
    says: 'If Redis is wiped between a logout and its settlement, the logout becomes `reconciled`',
  },
  'old-opening': {
    document: 'RELIABILITY',
    says: 'If a failover brings an opening back while SQL does not answer, a login completes it, although its period may have ended since',
  },
  'old-groups': {
    document: 'RELIABILITY',
    says: 'A period that had ended and comes back has the groups of the node or of the data that brings it back',
  },
  'late-groups': {
    document: 'RELIABILITY',
    says: 'the other nodes learn of it with their next claim about the user',
  },
  rollback: {
    document: 'OPERATING',
    says: 'After a rollback of Redis a user may appear online for up to one timeout too long',
  },
  'early-logout': {
    document: 'OPERATING',
    says: 'If Redis is wiped or rolled back while the only node that holds a user is frozen or cut off, the user may be logged out early',
  },
  'ended-once': {
    document: 'RELIABILITY',
    says: 'Nodes do not restore it, and what they heard in it counts only if Redis still knows it',
  },
  'silent-sql': {
    document: 'RELIABILITY',
    says: 'If SQL is silent for 500 ms during a restore, the nodes restore all periods',
  },
  followed: {
    document: 'RELIABILITY',
    says: 'that node claims its period again while a later one has followed it: the two overlap',
  },
  crossed: {
    document: 'RELIABILITY',
    says: 'A node may restore a period late while another node reconciles its row: the period goes on, and the later of its two logouts counts',
  },
  'let-go': {
    document: 'RELIABILITY',
    says: 'If Redis loses its data, the proofs of nodes that no longer held a user are lost too',
  },
  'lost-period': {
    document: 'OPERATING',
    says: 'If only Redis and one node know a period and both die, the period is lost',
  },
  'unheard-logout': {
    document: 'RELIABILITY',
    says: 'A node may answer a heartbeat by HTTP before it learns of a logout on another node, at most half a second later',
  },
  'stepped-number': {
    document: 'RELIABILITY',
    says: "After a wipe and a backward step of Redis's clock the new number may be below one that SQL has",
  },
  'treated-as-past': {
    document: 'RELIABILITY',
    says: 'If Redis then fails over to a snapshot in which the earlier period still runs, it treats the period with the lower number as past',
  },
  'wall-clock': {
    document: 'OPERATING',
    says: 'Logout times follow the wall clock: correct it with NTP',
  },
  'stale-rival': {
    document: 'RELIABILITY',
    says: 'While Redis or its clock, SQL or a node is in trouble, and for the ping interval + 3.3 s after it, a session policy may refuse a user who has no socket that shows life',
  },
  overlap: {
    document: 'RELIABILITY',
    says: 'a period may be reconciled while SQL does not know of the next login',
  },
  charged: {
    document: 'OPERATING',
    says: 'After an outage of Redis every user and every node is charged 2 s of silence',
  },
  'given-up': {
    document: 'RELIABILITY',
    says: 'The row of an opening that the node gave up is reconciled. It may lie within a period that went on',
  },
  'two-holders': {
    document: 'RELIABILITY',
    says: 'If two nodes hold a user, SQL names the node that reported it last; each node reports it once a minute',
  },
  'unwritten-life': {
    document: 'RELIABILITY',
    says: "While SQL takes no writes, or a node is frozen, nothing records that node's signs of life or that a period moved",
  },
  restoring: {
    document: 'RELIABILITY',
    says: 'Until the nodes have repeated their claims, which takes 2 s from the return of Redis, Redis acts on what it still has',
  },
};
