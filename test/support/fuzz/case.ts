import { Random } from '../../simulation/random.ts';

/** The kinds of input, each from its own generator. */
export const KINDS = ['frames', 'json', 'handshakes', 'bus'] as const;
export type Kind = (typeof KINDS)[number];

/** Pushes, calls between nodes, and all other texts that a node listens to. */
export type Channel = 'push' | 'calls' | 'other';

/** One piece of an input: a frame, a request, a published text. */
export interface Part {
  /** A short description for the report: the type of the part and its size. */
  readonly what: string;
  readonly bytes: Buffer;
  /** After this part the server may end the connection, or wait for bytes that never arrive. */
  readonly mayEnd?: true;
  /** After this part the connection must not answer any more. */
  readonly mustEnd?: true;
  /** The channel of a text on the bus. */
  readonly channel?: Channel;
}

/** How a client leaves after all is sent. */
export type Leaving = 'reset' | 'end' | 'wait';

/** One input: everything that one connection sends. It depends only on a seed and its number. */
export interface Case {
  readonly kind: Kind;
  readonly index: number;
  /** Name of the generator's branch: cases with the same name are similar. */
  readonly recipe: string;
  readonly parts: readonly Part[];
  readonly leaving: Leaving;
  /** Offered in the handshake, for kinds that open a WebSocket. */
  readonly protocol?: 'lingxi.v1';
}

/** A separate random generator for each case, so that a case can be created without those before it. */
export function randomOf(seed: number, kind: Kind, index: number): Random {
  const salt = KINDS.indexOf(kind) + 1;
  return new Random(
    Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(index + 1, 0xc2b2ae35) ^ (salt << 28),
  );
}

/** A number from `from` to `to`. Small numbers are as likely as large ones: each order of magnitude has the same share. */
export function magnitude(random: Random, from: number, to: number): number {
  const low = Math.log(from);
  return Math.min(to, Math.floor(Math.exp(low + random.next() * (Math.log(to + 1) - low))));
}

export function randomBytes(random: Random, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let at = 0; at < length; at += 1) bytes[at] = random.int(0, 255);
  return bytes;
}

/** Changes, removes or doubles a few bytes. */
export function mutate(random: Random, bytes: Buffer): Buffer {
  let mutated = Buffer.from(bytes);
  for (let left = random.int(1, 3); left > 0 && mutated.length > 0; left -= 1) {
    const at = random.int(0, mutated.length - 1);
    const length = random.int(1, Math.min(8, mutated.length - at));
    const before = mutated.subarray(0, at);
    const piece = mutated.subarray(at, at + length);
    const after = mutated.subarray(at + length);
    if (random.chance(0.6)) mutated[at] = random.int(0, 255);
    else if (random.chance(0.5)) mutated = Buffer.concat([before, after]);
    else mutated = Buffer.concat([before, piece, piece, after]);
  }
  return mutated;
}
