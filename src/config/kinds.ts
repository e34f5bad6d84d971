import { createPublicKey } from 'node:crypto';
import ipaddr from 'ipaddr.js';

/** Turns the text of a variable into a value. */
export interface Kind<Value> {
  /** Completes the sentence "<variable> must be …". The reference uses it too. */
  readonly expects: string;
  /** `undefined` if the text is not valid. */
  parse(text: string): Value | undefined;
}

/** A whole number without sign, exponent or spaces. */
export function whole(minimum: number, maximum: number, unit: string): Kind<number> {
  return {
    expects: `a whole number from ${minimum} to ${maximum}${unit === '' ? '' : ` (${unit})`}`,
    parse(text) {
      if (!/^\d{1,15}$/.test(text)) return undefined;
      const value = Number(text);
      return value >= minimum && value <= maximum ? value : undefined;
    },
  };
}

/** A share between 0 and 1, both included. */
export const share: Kind<number> = {
  expects: 'a number from 0 to 1, as in 0.2',
  parse(text) {
    const value = Number(text);
    return /^\d(\.\d{1,6})?$/.test(text) && value <= 1 ? value : undefined;
  },
};

export const flag: Kind<boolean> = {
  expects: '`true` or `false`',
  parse: (text) =>
    text === 'true' || text === '1' ? true : text === 'false' || text === '0' ? false : undefined,
};

export function choice<const Name extends string>(...names: readonly Name[]): Kind<Name> {
  return {
    expects: `one of ${names.map((name) => `\`${name}\``).join(', ')}`,
    parse: (text) => names.find((name) => name === text),
  };
}

export function matching(pattern: RegExp, expects: string): Kind<string> {
  return { expects, parse: (text) => (pattern.test(text) ? text : undefined) };
}

/** A folder or file; made absolute by the loader. */
export const path: Kind<string> = {
  expects: 'a path',
  parse: (text) => (text.includes('\0') ? undefined : text),
};

/** One secret, or two separated by a comma during a rotation. Visible ASCII only, so that it fits into a header. */
export const secretPair: Kind<readonly string[]> = {
  expects:
    'one secret, or two different ones separated by a comma while rotating, in visible ASCII characters',
  parse(text) {
    const parts = text.split(',').map((part) => part.trim());
    const clean = parts.every((part) => /^[\x21-\x7e]+$/.test(part));
    return clean && parts.length <= 2 && new Set(parts).size === parts.length ? parts : undefined;
  },
};

/** A PEM public key. A literal `\n` counts as a line break, because many `.env` files have it. */
export const publicKey: Kind<string> = {
  expects: 'a public key (RSA or EC) in PEM form, beginning with -----BEGIN PUBLIC KEY-----',
  parse(text) {
    const pem = text.replaceAll('\\n', '\n');
    if (pem.includes('PRIVATE KEY')) return undefined;
    try {
      const { asymmetricKeyType } = createPublicKey(pem);
      return asymmetricKeyType === 'rsa' || asymmetricKeyType === 'ec' ? pem : undefined;
    } catch {
      return undefined;
    }
  },
};

/** A URL with one of `schemes` (without the colon). */
export function url(schemes: readonly string[], expects: string): Kind<string> {
  return {
    expects,
    parse(text) {
      const scheme = schemes.find((candidate) => text.toLowerCase().startsWith(`${candidate}://`));
      if (scheme === undefined || /\s/.test(text)) return undefined;
      // Redis and PostgreSQL allow several hosts, separated by commas; URL does not.
      const oneHost = text.replace(/,[^/?#]*/, '');
      return URL.canParse(oneHost) && text.length > scheme.length + '://'.length ? text : undefined;
    },
  };
}

/** The address of a document to fetch: one host. */
export const webAddress: Kind<string> = {
  expects: 'an https:// or http:// address',
  parse: (text) => (/^https?:\/\/\S+$/i.test(text) && URL.canParse(text) ? text : undefined),
};

/** A list of exact origins. `*` alone means any origin. */
export const origins: Kind<'any' | readonly string[]> = {
  expects: 'a comma-separated list of exact origins such as https://game.example, or `*` alone',
  parse(text) {
    if (text === '*') return 'any';
    const list = splitList(text);
    // A star inside an origin looks like a pattern, but would match nothing.
    const exact = list.every(
      (item) => !item.includes('*') && URL.canParse(item) && new URL(item).origin === item,
    );
    return exact && list.length > 0 ? list : undefined;
  },
};

/** Address ranges. A single address is a range of one. */
export const cidrs: Kind<readonly string[]> = {
  expects: 'a comma-separated list of address ranges such as 10.0.0.0/8, ::1/128',
  parse(text) {
    const ranges = splitList(text).map(toRange);
    return ranges.length > 0 && ranges.every((range) => range !== undefined) ? ranges : undefined;
  },
};

const IDENTIFIER = String.raw`[\p{L}_][\p{L}\p{N}_$-]{0,62}`;

export const tableName = matching(
  new RegExp(`^${IDENTIFIER}(\\.${IDENTIFIER})?$`, 'u'),
  'a table name such as users or game.users, or `none`',
);

export const columnName = matching(new RegExp(`^${IDENTIFIER}$`, 'u'), 'a column name such as id');

function splitList(text: string): string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

function toRange(item: string): string | undefined {
  if (ipaddr.isValidCIDR(item)) return item;
  if (!ipaddr.isValid(item)) return undefined;
  return `${item}/${ipaddr.parse(item).kind() === 'ipv4' ? 32 : 128}`;
}
