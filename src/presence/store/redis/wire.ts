import type { GroupStep } from '../../../protocol/groups.ts';
import type { Duty, EndedPeriod } from '../../../protocol/periods.ts';
import type { Claim, EndRequest, Loss } from '../port.ts';

/*
 * The lists of fields that TypeScript and the scripts exchange. The order of the fields is defined here alone. TypeScript
 * encodes and decodes by name with the functions below, and `wire-header.ts` generates the same for Lua, where `socketMs` is
 * `socket_ms`. Do not change the order of `HOLD`, `NODE`, `LOSS`, `LAST`, `DUTY` and `ENTRY`: Redis has texts that earlier
 * versions wrote.
 */

/**
 * - `number`: 0 or more. `signed`: any number.
 * - `id`: a number that Lua keeps as text, because Lua would shorten a long one.
 * - `optional`: a text that is left out if it is empty. Only at the end of a list.
 * - `text`: a text without separators. `words`: text that a person wrote. Only in lists that are arrays.
 */
export type Kind = 'number' | 'signed' | 'id' | 'text' | 'words' | 'optional';
export type Layout = Readonly<Record<string, Kind>>;
/** The values of a list, by name. */
export type Named<List extends Layout> = {
  readonly [Name in keyof List]: List[Name] extends 'text' | 'words' | 'optional' ? string : number;
};

/** One user in the arguments of `claim.lua`: a JSON array. */
export const CLAIM = {
  userId: 'id',
  mode: 'text',
  rev: 'number',
  sockets: 'number',
  rivals: 'number',
  socketMs: 'signed',
  httpMs: 'signed',
  proofAgeMs: 'signed',
  untilMs: 'signed',
  epoch: 'id',
  floor: 'number',
  period: 'number',
  loginTime: 'number',
  username: 'words',
  ip: 'words',
  cause: 'text',
  proofMark: 'text',
  tokenGroups: 'optional',
  serviceGroups: 'optional',
} as const satisfies Record<keyof Claim, Kind>;

/** The answer of `claim.lua` after `opened` or `joined`. Without an unsettled period, `unsettled` is empty. */
export const ACCEPTED = {
  period: 'number',
  epoch: 'number',
  loginTime: 'number',
  unsettled: 'text',
  groups: 'optional',
} as const;

/** The answer of `groups.lua` after a change. */
export const GROUP_STEP = {
  period: 'number',
  before: 'number',
  version: 'number',
} as const satisfies Record<keyof GroupStep, Kind>;

/** One user in the arguments of `end.lua`. */
export const END_REQUEST = {
  userId: 'id',
  reason: 'text',
  epoch: 'number',
  blockMs: 'signed',
  proofAgeMs: 'signed',
  note: 'words',
} as const satisfies Record<keyof EndRequest, Kind>;

/** One period in the arguments of `record.lua`, `withdraw.lua` and `knows.lua`. */
export const PERIOD = {
  userId: 'id',
  period: 'number',
} as const;

/** One settled duty in the arguments of `acknowledge.lua`: a JSON array. */
export const SETTLED = {
  id: 'text',
  userId: 'id',
  period: 'id',
} as const satisfies Partial<Record<keyof Duty, Kind>>;

/** What `renew.lua` gets before the losses that the node acknowledges. The script says what `restoredIn` means. */
export const RENEWAL = {
  highestEpoch: 'number',
  restoredIn: 'text',
  generation: 'number',
} as const;

/** One loss that the node acknowledges, in the arguments of `renew.lua`. */
export const ACKNOWLEDGED = {
  userId: 'id',
  rev: 'id',
} as const satisfies Partial<Record<keyof Loss, Kind>>;

/** The answer of `renew.lua`, before the foreign keys and the losses. */
export const RENEWED = {
  restore: 'number',
  onlineCount: 'number',
  world: 'text',
  foreignCount: 'number',
} as const;

/** One loss of another node, at the end of an answer. `loss` is the list LOSS. */
export const LOST = {
  node: 'text',
  userId: 'id',
  loss: 'words',
} as const;

/** The answer of `reap.lua`, before the periods that ended. `nextDeathMs` is -1 if it is not known. */
export const REAPED = {
  orphans: 'number',
  nextDeathMs: 'signed',
} as const;

/** A period that a script has ended, in its answer. */
export const ENDED = {
  userId: 'id',
  period: 'number',
  epoch: 'number',
  loginTime: 'number',
  logoutTime: 'number',
  reason: 'text',
} as const satisfies Record<keyof EndedPeriod, Kind>;

/** One user in the answer of `read.lua`: an array. */
export const USER = {
  period: 'id',
  loginTime: 'id',
  epoch: 'id',
  recorded: 'number',
  holders: 'number',
  sockets: 'number',
  proof: 'id',
  username: 'words',
  ip: 'words',
  last: 'text',
  unsettled: 'text',
  socketsElsewhere: 'number',
  blockLeftMs: 'number',
} as const;

/**
 * One node in the answer of `nodes.lua`. `ageMs` is the age of its last sign of life, or -1 if the node is dead. `sign` is the
 * observed time of that sign, or empty if the node has not renewed in this world.
 */
export const SEEN_NODE = {
  node: 'text',
  ageMs: 'signed',
  sign: 'text',
  users: 'number',
  announced: 'words',
} as const;

/** The answer of `route.lua` for one parcel, before its nodes. */
export const ROUTED = {
  nodeCount: 'number',
} as const;

/** One node to which `route.lua` sent a parcel. `isListening` is 0 or 1. `users` is how many of the receivers it holds. */
export const ROUTED_NODE = {
  node: 'text',
  isListening: 'number',
  users: 'number',
} as const;

/** A hold in a user's record. Only Lua reads it. */
export const HOLD = {
  rev: 'signed',
  sockets: 'number',
  epoch: 'id',
  socketUntil: 'number',
  httpUntil: 'number',
  proof: 'number',
  till: 'number',
  mark: 'text',
  answer: 'text',
  tokenGroups: 'optional',
} as const;

/** A node in the hash of all nodes. `restored` is 0 or 1. Only Lua reads it. */
export const NODE = {
  lease: 'text',
  seen: 'number',
  restored: 'text',
} as const;

/** A loss that its node has not acknowledged. The note of a kick may contain any character. */
export const LOSS = {
  rev: 'signed',
  reason: 'text',
  note: 'optional',
} as const satisfies Record<Exclude<keyof Loss, 'userId'>, Kind>;

/** The period in a user's record that ended last. */
export const LAST = {
  period: 'number',
  loginTime: 'number',
  lastHeartbeat: 'number',
  logoutTime: 'number',
  reason: 'text',
} as const;

/** An entry of the stream of duties. */
export const DUTY = {
  userId: 'id',
  period: 'number',
  loginAt: 'number',
  logoutAt: 'number',
  lastSeenAt: 'number',
  reason: 'text',
  node: 'text',
} as const satisfies Record<Exclude<keyof Duty, 'id'>, Kind>;

/**
 * An entry of a user's timeline. Ids rise. `atBefore` and `epochBefore` are differences to the id, so that the entries are
 * short: Redis keeps a list for each user.
 */
export const ENTRY = {
  id: 'number',
  atBefore: 'signed',
  event: 'text',
  cause: 'text',
  node: 'text',
  epochBefore: 'signed',
  note: 'optional',
} as const;

/** Separates the fields of a text in Redis. */
export const STORED = '|';
/** Separates the fields of a text in an answer. Another separator, because a text in Redis may contain an answer. */
export const ANSWERED = ',';

const LONE_SURROGATES = /\p{Surrogate}/gu;

/** Writes values in the order of a list. */
export function encoder<List extends Layout>(list: List): (values: Named<List>) => (string | number)[] {
  const fields = Object.entries(list);
  const always = fields.filter(([, kind]) => kind !== 'optional').length;
  return (values) => {
    let { length } = fields;
    while (length > always && values[fields[length - 1]?.[0] ?? ''] === '') length -= 1;
    const encoded: (string | number)[] = [];
    for (let at = 0; at < length; at += 1) {
      const [name, kind] = fields[at] as (typeof fields)[number];
      encoded.push(encode(kind, values[name] as string | number));
    }
    return encoded;
  };
}

/** Reads values in the order of a list. A missing number is NaN, a missing text empty. */
export function decoder<List extends Layout>(
  list: List,
): (values: readonly (string | number)[]) => Named<List> {
  const fields = Object.entries(list).map(([name, kind]) => ({ name, isString: isText(kind) }));
  return (values) => {
    const named: Record<string, string | number> = {};
    for (let index = 0; index < fields.length; index += 1) {
      const { name, isString } = fields[index] as (typeof fields)[number];
      named[name] = isString ? String(values[index] ?? '') : decodeNumber(values[index]);
    }
    return named as Named<List>;
  };
}

/** Reads a text of Redis. The last field gets the whole rest. */
export function textDecoder<List extends Layout>(list: List): (text: string) => Named<List> {
  const decode = decoder(list);
  const last = Object.keys(list).length - 1;
  return (text) => {
    const parts = text.split(STORED);
    return decode(parts.length <= last ? parts : [...parts.slice(0, last), parts.slice(last).join(STORED)]);
  };
}

function encode(kind: Kind, value: string | number): string | number {
  switch (kind) {
    case 'id':
      return String(value);
    case 'words':
      return wellFormed(String(value));
    case 'number':
    case 'signed':
    case 'text':
    case 'optional':
      return value;
  }
}

function decodeNumber(value: string | number | undefined): number {
  return typeof value === 'number' ? value : Number.parseInt(value ?? '', 10);
}

function isText(kind: Kind): boolean {
  return kind === 'text' || kind === 'words' || kind === 'optional';
}

/** Replaces half of a surrogate pair, as an encoder to UTF-8 does. Redis does not accept its JSON form. */
function wellFormed(text: string): string {
  return text.replace(LONE_SURROGATES, '\ufffd');
}
