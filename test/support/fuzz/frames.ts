import type { Random } from '../../simulation/random.ts';
import { type Case, magnitude, mutate, type Part, randomBytes, randomOf } from './case.ts';
import { value } from './json.ts';
import { encodeWire, type Wire } from './wire.ts';

/** Frames of one connection that meets no error. */
const MAX_FRAMES = 200;
/** Share of the frames that RFC 6455 forbids, or that are random bytes. Each of them ends a connection. */
const FORBIDDEN = 0.025;
/** Number of frames after a forbidden one. The server should not read them. */
const MAX_TRAILING = 3;
const MAX_SMALL_PAYLOAD = 200;
const CONTROL_BYTES = 125;
/** The largest payload of random bytes, and the largest payload of all. */
const MAX_RANDOM_BYTES = 2_000;

/** One connection that sends valid frames in odd forms, and in most cases an invalid one at the end. */
export function frameCase(seed: number, index: number): Case {
  const random = randomOf(seed, 'frames', index);
  const parts: Part[] = [];
  const isV1 = random.chance(0.6);
  while (parts.length < MAX_FRAMES && !random.chance(FORBIDDEN)) parts.push(...rightFrames(random));
  let recipe = 'right frames';
  if (parts.length < MAX_FRAMES) {
    const wrong = wrongFrame(random);
    recipe = wrong.what;
    parts.push(wrong);
    for (let left = random.int(0, MAX_TRAILING); left > 0; left -= 1) parts.push(...rightFrames(random));
  }
  const leaving = random.weighted({ reset: 5, end: 4, wait: 1 });
  return { kind: 'frames', index, recipe, parts, leaving, ...(isV1 ? { protocol: 'lingxi.v1' } : {}) };
}

function rightFrames(random: Random): readonly Part[] {
  switch (
    random.weighted({
      ping: 25,
      text: 20,
      binary: 8,
      control: 20,
      fragments: 6,
      empty: 3,
      random: 5,
      rare: 1,
    })
  ) {
    case 'ping': {
      const stamp = random.chance(0.8) ? String(random.int(0, 2 ** 31)) : value(random, 40).text;
      return [part(random, `a ping`, text(`{"type":"ping","timestamp":${stamp}}`))];
    }
    case 'text':
      return [part(random, 'a small message', text(`{"type":"chat","data":${value(random, 60).text}}`))];
    case 'binary':
      return [part(random, 'a binary message', { ...text(`{"type":"ping"}`), opcode: 2 })];
    case 'control': {
      const opcode = random.chance(0.6) ? 9 : 10;
      return [
        part(random, `opcode ${opcode}`, {
          opcode,
          payload: randomBytes(random, random.int(0, CONTROL_BYTES)),
        }),
      ];
    }
    case 'fragments':
      return fragments(random);
    case 'empty':
      return [part(random, 'an empty message', { opcode: random.pick([1, 2]), payload: Buffer.alloc(0) })];
    case 'random':
      return [part(random, 'random letters', text(letters(random, random.int(1, MAX_SMALL_PAYLOAD))))];
    case 'rare': {
      const length = magnitude(random, MAX_SMALL_PAYLOAD, 60_000);
      return [
        part(random, `a text of ${length} bytes`, text(random.pick(['x', '[', '{"a":']).repeat(length / 8))),
      ];
    }
  }
}

/** One message in pieces, some of them empty, with control frames between them. */
function fragments(random: Random): readonly Part[] {
  const count = random.int(2, 8);
  const opcode = random.pick([1, 2]);
  return Array.from({ length: count }, (_, at) => {
    const payload = Buffer.from(random.chance(0.3) ? '' : '{"type":"ping"}'.slice(0, random.int(1, 15)));
    const wire = { opcode: at === 0 ? opcode : 0, fin: at === count - 1, payload };
    const piece = part(random, `fragment ${at + 1} of ${count}`, wire);
    if (!random.chance(0.2)) return [piece];
    return [part(random, 'opcode 9 between fragments', { opcode: 9, payload: Buffer.from('x') }), piece];
  }).flat();
}

/** Ends the connection, or leaves the server waiting for bytes. */
function wrongFrame(random: Random): Part {
  const maybe = (what: string, wire: Wire): Part => ({ ...part(random, what, wire), mayEnd: true });
  const end = (what: string, wire: Wire): Part => ({ ...maybe(what, wire), mustEnd: true });
  const small = Buffer.from('{"type":"ping"}');
  switch (
    random.weighted({
      flipped: 6,
      noise: 3,
      bits: 3,
      opcode: 3,
      length: 4,
      odd: 2,
      bare: 2,
      utf8: 3,
      close: 4,
      orphan: 2,
      control: 2,
      large: 1,
    })
  ) {
    case 'flipped': {
      const frame = encodeWire(random, text(`{"type":"ping","timestamp":${random.int(0, 99)}}`));
      return { what: 'a frame with changed bytes', bytes: mutate(random, frame), mayEnd: true };
    }
    case 'noise': {
      const bytes = randomBytes(random, magnitude(random, 1, MAX_RANDOM_BYTES));
      return { what: `${bytes.length} random bytes`, bytes, mayEnd: true };
    }
    case 'bits':
      return end('reserved bits', {
        opcode: random.pick([0, 1, 2, 9]),
        reserved: random.int(1, 7),
        payload: small,
      });
    case 'opcode':
      return end('a reserved opcode', {
        opcode: random.pick([3, 4, 5, 6, 7, 11, 12, 13, 14, 15]),
        payload: small,
      });
    case 'length': {
      const claimed = random.pick([
        126n,
        65_536n,
        2n ** 31n,
        2n ** 32n + 2n,
        2n ** 53n + 1n,
        2n ** 63n,
        2n ** 64n - 1n,
      ]);
      return maybe(`a length of ${claimed}`, {
        opcode: random.pick([0, 1, 2, 8, 9]),
        payload: small,
        claimed,
        fin: random.chance(0.5),
      });
    }
    case 'odd':
      return maybe('a length in too many bytes', {
        opcode: random.pick([1, 9]),
        payload: small,
        lengthBytes: random.pick([2, 8]),
      });
    case 'bare':
      return end('an unmasked frame', { opcode: random.pick([1, 2, 8, 9]), payload: small, masked: false });
    case 'utf8':
      return end('text that is not UTF-8', {
        opcode: random.pick([1, 2, 8]),
        payload: Buffer.concat([
          Buffer.from([3, 0xe8]),
          randomBytes(random, random.int(1, 100)),
          Buffer.from([0xff]),
        ]),
      });
    case 'close': {
      const body = randomBytes(random, random.int(0, CONTROL_BYTES));
      if (body.length >= 2 && random.chance(0.8)) body.writeUInt16BE(random.int(0, 5_100));
      return end(`a close of ${body.length} bytes`, { opcode: 8, payload: body });
    }
    case 'orphan':
      return end('a continuation of nothing', { opcode: 0, payload: small, fin: random.chance(0.5) });
    case 'control':
      return end('a broken control frame', {
        opcode: random.pick([8, 9, 10]),
        payload: randomBytes(random, random.int(126, 400)),
        fin: random.chance(0.5),
      });
    case 'large': {
      const length = magnitude(random, 65_536, 1_000_000);
      return maybe(`a message of ${length} bytes`, {
        opcode: random.pick([1, 2]),
        payload: Buffer.alloc(length, 0x20),
      });
    }
  }
}

function part(random: Random, what: string, wire: Wire): Part {
  return { what, bytes: encodeWire(random, wire) };
}

function text(content: string): Wire {
  return { opcode: 1, payload: Buffer.from(content) };
}

function letters(random: Random, length: number): string {
  return Array.from({ length }, () => String.fromCodePoint(random.int(1, 0x2fff))).join('');
}
