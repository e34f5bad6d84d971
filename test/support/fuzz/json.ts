import type { Random } from '../../simulation/random.ts';
import { type Case, magnitude, mutate, type Part, randomOf } from './case.ts';
import { encodeWire } from './wire.ts';

/** A text of random depth, width and size, with a description of them. */
export interface DimensionedText {
  readonly text: string;
  readonly what: string;
}

const LEAVES = [
  ...['0', '-1', '1e999', '-0', '9007199254740993', '1E-400', '12345678901234567890', '0.1', 'null', 'true'],
  ...[
    '""',
    '"a"',
    '"\\u0000"',
    '"\\ud800"',
    '"\\ud83d\\ude00"',
    '"__proto__"',
    '"灵犀"',
    '[]',
    '{}',
    '"\\r\\n"',
  ],
];
const KEYS = [
  ...['a', 'type', 'data', 'id', 'timestamp', '__proto__', 'constructor', 'prototype', 'toString', 'toJSON'],
  ...['', '0', 'length', 'then', 'valueOf', 'value', 'token', 'userId', 'to', 'all', '\\u0000', '\\ud800'],
];
const TYPES = [
  'ping',
  'pong',
  'state',
  'token',
  'ack',
  'chat',
  'welcome',
  'error',
  'goodbye',
  '',
  '__proto__',
];
/** Largest number of messages of one connection. */
const MAX_MESSAGES = 24;
/** Number of bytes that are reserved for the envelope around a value. */
const ENVELOPE_BYTES = 64;
/** Share of the messages that are broken after they were written. */
const BROKEN = 0.04;

/** One connection that sends JSON messages up to `maxBytes` each. */
export function jsonCase(seed: number, index: number, maxBytes: number): Case {
  const random = randomOf(seed, 'json', index);
  const parts: Part[] = [];
  const count = random.int(1, MAX_MESSAGES);
  for (let left = count; left > 0; left -= 1) parts.push(...message(random, maxBytes));
  const isV1 = random.chance(0.7);
  return {
    kind: 'json',
    index,
    recipe: 'messages',
    parts,
    leaving: random.chance(0.5) ? 'reset' : 'end',
    ...(isV1 ? { protocol: 'lingxi.v1' } : {}),
  };
}

/** A JSON value of at most about `maxBytes`. Depth, width and size are drawn by orders of magnitude. */
export function value(random: Random, maxBytes: number): DimensionedText {
  const size = magnitude(random, 1, Math.max(1, maxBytes));
  switch (random.weighted({ deep: 5, wide: 4, tree: 3, string: 2, leaf: 3 })) {
    case 'deep':
      return deep(random, size);
    case 'wide':
      return wide(random, size);
    case 'tree':
      return tree(random, size);
    case 'string':
      return { text: string(random, size), what: `a string of ${size} bytes` };
    case 'leaf': {
      const text = random.pick(LEAVES);
      return { text, what: text };
    }
  }
}

function deep(random: Random, size: number): DimensionedText {
  const isArray = random.chance(0.5);
  const key = random.pick(KEYS);
  const open = isArray ? '[' : `{"${key}":`;
  const close = isArray ? ']' : '}';
  const depth = magnitude(random, 1, Math.max(1, Math.floor(size / (open.length + 1))));
  const text = open.repeat(depth) + random.pick(LEAVES) + close.repeat(depth);
  return { text, what: `${isArray ? 'arrays' : 'objects'} ${depth} deep` };
}

function wide(random: Random, size: number): DimensionedText {
  const leaf = random.pick(LEAVES);
  const isArray = random.chance(0.5);
  const key = isArray ? undefined : random.pick(KEYS);
  // Keys that are all equal, or all different.
  const isSame = random.chance(0.3);
  const width = magnitude(random, 1, Math.max(1, Math.floor(size / (leaf.length + (isArray ? 1 : 10)))));
  const entries = Array.from({ length: width }, (_, at) => {
    if (key === undefined) return leaf;
    return `"${key}${isSame ? '' : at}":${leaf}`;
  });
  const text = isArray ? `[${entries.join(',')}]` : `{${entries.join(',')}}`;
  return { text, what: `${isArray ? 'an array' : 'an object'} ${width} wide of ${leaf}` };
}

/** Each level of the depth is a list of the width. */
function tree(random: Random, size: number): DimensionedText {
  const width = magnitude(random, 1, 64);
  const leaf = random.pick(LEAVES);
  const siblings = `${leaf},`.repeat(width);
  const depth = magnitude(random, 1, Math.max(1, Math.floor(size / (siblings.length + 2))));
  const text = `[${siblings}`.repeat(depth) + leaf + ']'.repeat(depth);
  return { text, what: `arrays ${depth} deep, each ${width + 1} wide` };
}

function string(random: Random, size: number): string {
  const piece = random.pick(['x', '\\u0000', '\\\\', '灵', '\\ud800', '😀', '\\"', ' ']);
  return `"${piece.repeat(Math.max(1, Math.floor(size / Buffer.byteLength(piece))))}"`;
}

function message(random: Random, maxBytes: number): readonly Part[] {
  const { text, what } = envelope(random, maxBytes - ENVELOPE_BYTES);
  let payload: Buffer = Buffer.from(text);
  const isBroken = random.chance(BROKEN);
  if (isBroken)
    payload = random.chance(0.5)
      ? mutate(random, payload)
      : payload.subarray(0, random.int(0, payload.length));
  const words = `${isBroken ? 'broken ' : ''}${what} (${payload.length} bytes)`;
  // A byte changed at random may break the UTF-8, and then the connection ends.
  const mayEnd = isBroken || text.startsWith('{"type":"logout"') || payload.length > maxBytes;
  const opcode = random.chance(0.9) ? 1 : 2;
  const pieces = payload.length > 2 && random.chance(0.15) ? random.int(2, 4) : 1;
  const length = Math.ceil(payload.length / pieces);
  return Array.from({ length: pieces }, (_, piece) => {
    const bytes = encodeWire(random, {
      opcode: piece === 0 ? opcode : 0,
      fin: piece === pieces - 1,
      payload: payload.subarray(piece * length, (piece + 1) * length),
    });
    return {
      what: pieces === 1 ? words : `${words}, fragment ${piece + 1}`,
      bytes,
      ...(mayEnd ? { mayEnd } : {}),
    };
  });
}

function envelope(random: Random, maxBytes: number): DimensionedText {
  const inner = value(random, maxBytes);
  const type = random.pick(TYPES);
  const within = (text: string): DimensionedText => ({
    text: text.replace('$', () => inner.text),
    what: text.replace('$', () => `<${inner.what}>`),
  });
  switch (
    random.weighted({
      bare: 2,
      timestamp: 4,
      data: 4,
      state: 2,
      token: 2,
      ack: 2,
      type: 1,
      key: 1,
      doubled: 1,
      spaced: 1,
      logout: 0.1,
    })
  ) {
    case 'bare':
      return inner;
    case 'timestamp':
      return within('{"type":"ping","timestamp":$}');
    case 'data':
      return within(`{"type":"${type}","data":$}`);
    case 'state':
      return within('{"type":"state","data":{"value":$}}');
    case 'token':
      return within('{"type":"token","data":{"token":$}}');
    case 'ack':
      return within('{"type":"ack","id":$}');
    case 'type':
      return within('{"type":$}');
    case 'key':
      return within(`{"type":"${type}","${random.pick(KEYS)}":$}`);
    case 'doubled':
      return within(`{"type":"ping","timestamp":1,"type":"${type}","timestamp":$}`);
    case 'spaced':
      return within(`{ "timestamp" : $ ,\n "type" : "ping" }${' '.repeat(magnitude(random, 1, 64))}`);
    case 'logout':
      return within('{"type":"logout","data":$}');
  }
}
