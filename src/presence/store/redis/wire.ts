import type { Duty, EndedPeriod } from '../../../protocol/periods.ts';
import type { Claim, EndRequest, GroupStep } from '../port.ts';

/*
 * The lists of fields that TypeScript and the scripts exchange, in the order in which they are written. Nothing else
 * knows an order: TypeScript encodes and decodes by name with the functions below, and `wire-header.ts` generates the
 * same for Lua, where `socketMs` is `socket_ms`. Texts that an earlier version left in Redis stay readable only while the
 * order of `HOLD`, `LAST`, `DUTY` and `ENTRY` stays.
 */

/**
 * - `number`: from 0. `signed`: may be less.
 * - `id`: a number that Lua keeps as text, because it would write a long one short.
 * - `optional`: a text that is left out where empty; only at the end of a list.
 * - `text`: holds no separator. `words`: what a person wrote; only in lists that are no text.
 */
export type Kind = 'number' | 'signed' | 'id' | 'text' | 'words' | 'optional';
export type Layout = Readonly<Record<string, Kind>>;
/** The values of a list, by name. */
export type Named<List extends Layout> = {
  readonly [Name in keyof List]: List[Name] extends 'text' | 'words' | 'optional' ? string : number;
};

/** What `claim.lua` takes for each user: a JSON array. */
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

/** What `claim.lua` says after `opened` or `joined`. No `unsettled`: an empty text. */
export const ACCEPTED = {
  period: 'number',
  epoch: 'number',
  loginTime: 'number',
  unsettled: 'text',
  groups: 'optional',
} as const;

/** What `groups.lua` says after a change. */
export const GROUP_STEP = {
  period: 'number',
  before: 'number',
  version: 'number',
} as const satisfies Record<keyof GroupStep, Kind>;

/** What `end.lua` takes for each user, as arguments. */
export const END_REQUEST = {
  userId: 'id',
  reason: 'text',
  epoch: 'number',
  blockMs: 'signed',
  proofAgeMs: 'signed',
  note: 'words',
} as const satisfies Record<keyof EndRequest, Kind>;

/** A period that a script has ended, in its answer. */
export const ENDED = {
  userId: 'id',
  period: 'number',
  epoch: 'number',
  loginTime: 'number',
  logoutTime: 'number',
  reason: 'text',
} as const satisfies Record<keyof EndedPeriod, Kind>;

/** What `read.lua` answers of each user: an array. */
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

/** The newest ended period in a user's record. */
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
 * An entry of a user's timeline. Ids rise. The times are how many ms before the id they lie: short texts, for Redis keeps
 * a list of each user.
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
/** Separates the fields of a text in an answer, which may stand in a text in Redis. */
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

/** Reads a text of Redis. The last field takes all that is left. */
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

/** Half of a surrogate pair has no JSON form that Redis takes: it is replaced, as an encoder to UTF-8 does. */
function wellFormed(text: string): string {
  return text.replace(LONE_SURROGATES, '\ufffd');
}
