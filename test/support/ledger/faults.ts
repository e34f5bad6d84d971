import type { Random } from '../../simulation/random.ts';
import { pause } from './player.ts';
import type { Site, SiteNode } from './site.ts';

type Part = 'node' | 'redis' | 'postgres';

interface Fault {
  readonly part: Part;
  /** Number of cards of this fault in the deck. */
  readonly cards: number;
  readonly run: (site: Site, random: Random) => Promise<void>;
}

/** As shares of the heartbeat timeout, not too close to the timeout itself. */
const SHORT = { from: 0.3, to: 0.8 };
const LONG = { from: 1.7, to: 2.6 };

const FAULTS: readonly Fault[] = [
  { part: 'node', cards: 2, run: (site, random) => killNode(site, random, { from: 0.05, to: 0.7 }) },
  { part: 'node', cards: 2, run: (site, random) => killNode(site, random, { from: 1.5, to: 3 }) },
  { part: 'node', cards: 1, run: stopNode },
  { part: 'node', cards: 1, run: killAllNodes },
  { part: 'node', cards: 2, run: (site, random) => freezeNode(site, random, { ...SHORT, kind: 'short' }) },
  { part: 'node', cards: 2, run: (site, random) => freezeNode(site, random, { ...LONG, kind: 'long' }) },
  { part: 'redis', cards: 2, run: killRedis },
  { part: 'redis', cards: 1, run: (site, random) => freezeRedis(site, random, SHORT) },
  { part: 'redis', cards: 1, run: (site, random) => freezeRedis(site, random, LONG) },
  { part: 'postgres', cards: 2, run: killPostgres },
  { part: 'postgres', cards: 1, run: (site, random) => freezePostgres(site, random, SHORT) },
  { part: 'postgres', cards: 1, run: (site, random) => freezePostgres(site, random, LONG) },
];

const GAP_MS = { from: 200, to: 1_500 };
/** How often a second part fails while the first is still failing. */
const TOGETHER_SHARE = 0.4;

/** Causes random faults until `isOver`. Every fault comes once before one comes again. Repairs everything at the end. */
export async function hurt(site: Site, random: Random, isOver: () => boolean): Promise<void> {
  let deck: Fault[] = [];
  const busy = new Map<Part, Promise<void>>();
  while (!isOver()) {
    if (deck.length === 0) deck = shuffled(FAULTS, random);
    const fault = deck.find(({ part }) => !busy.has(part));
    if (fault !== undefined) {
      deck.splice(deck.indexOf(fault), 1);
      busy.set(
        fault.part,
        fault.run(site, random).finally(() => busy.delete(fault.part)),
      );
    }
    if (fault === undefined || !random.chance(TOGETHER_SHARE)) await Promise.all(busy.values());
    await pause(random.int(GAP_MS.from, GAP_MS.to));
  }
  await Promise.all(busy.values());
}

function shuffled(faults: readonly Fault[], random: Random): Fault[] {
  const cards = faults.flatMap((fault) => Array.from({ length: fault.cards }, () => fault));
  const deck: Fault[] = [];
  while (cards.length > 0) deck.push(...cards.splice(random.int(0, cards.length - 1), 1));
  return deck;
}

function timeouts(site: Site, random: Random, { from, to }: { from: number; to: number }): Promise<void> {
  const { timeoutMs } = site.options;
  return pause(random.int(Math.round(from * timeoutMs), Math.round(to * timeoutMs)));
}

function victim(site: Site, random: Random): SiteNode {
  return random.pick(site.nodes);
}

async function killNode(site: Site, random: Random, away: { from: number; to: number }): Promise<void> {
  const node = victim(site, random);
  await site.killNode(node);
  await timeouts(site, random, away);
  await site.reviveNode(node);
}

async function killAllNodes(site: Site, random: Random): Promise<void> {
  await Promise.all(site.nodes.map((node) => site.killNode(node)));
  await timeouts(site, random, { from: 0.05, to: 1.5 });
  await Promise.all(site.nodes.map((node) => site.reviveNode(node)));
}

async function stopNode(site: Site, random: Random): Promise<void> {
  const node = victim(site, random);
  await site.stopNode(node);
  await timeouts(site, random, SHORT);
  await site.reviveNode(node);
}

async function freezeNode(
  site: Site,
  random: Random,
  away: { from: number; to: number; kind: string },
): Promise<void> {
  const node = victim(site, random);
  site.freezeNode(node, away.kind);
  await timeouts(site, random, away);
  site.thawNode(node);
}

async function killRedis(site: Site, random: Random): Promise<void> {
  await site.killRedis();
  await timeouts(site, random, { from: 0.05, to: 1.2 });
  await site.reviveRedis();
}

async function freezeRedis(site: Site, random: Random, away: { from: number; to: number }): Promise<void> {
  site.freezeRedis();
  await timeouts(site, random, away);
  site.thawRedis();
}

async function killPostgres(site: Site, random: Random): Promise<void> {
  await site.killPostgres();
  await timeouts(site, random, { from: 0.05, to: 1.2 });
  await site.revivePostgres();
}

async function freezePostgres(site: Site, random: Random, away: { from: number; to: number }): Promise<void> {
  await site.freezePostgres();
  await timeouts(site, random, away);
  site.thawPostgres();
}
