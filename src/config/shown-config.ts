import type { Config } from './config.ts';
import { FIELDS, KEYS, SECTIONS } from './keys.ts';
import { maskedAddress, maskSecrets } from './shown-url.ts';

/** One setting in a form that is safe to show. */
export interface ShownKey {
  readonly name: string;
  /** Contains no secret, and no part of one. */
  readonly value: string;
  readonly isDefault: boolean;
  readonly source: 'default' | 'environment' | '.env' | 'file' | 'profile' | 'program';
  readonly meaning: string;
  readonly section: string;
  readonly secret: boolean;
}

/** The present configuration, in the order of the reference. `origins` are those of the loader. */
export function shownConfig(config: Config, origins: ReadonlyMap<keyof Config, string>): readonly ShownKey[] {
  const fieldOf = new Map(FIELDS.map((field) => [KEYS[field].variable, field]));
  return SECTIONS.flatMap(({ title, keys }) =>
    keys.flatMap(({ variable, about, secret }) => {
      const field = fieldOf.get(variable);
      if (field === undefined) return [];
      const source = sourceOf(origins.get(field) ?? 'program');
      return {
        name: variable,
        value: secret === true ? maskedValue(config[field]) : plainValue(config[field]),
        isDefault: source === 'default',
        source,
        meaning: about.replaceAll('`', ''),
        section: title,
        secret: secret === true,
      };
    }),
  );
}

type Value = Config[keyof Config];

function sourceOf(origin: string): ShownKey['source'] {
  switch (origin) {
    case 'default':
    case 'environment':
    case '.env':
    case 'program':
      return origin;
    case 'profile seed':
      return 'profile';
    default:
      return 'file';
  }
}

/** The text of a setting that is no secret. */
export function plainValue(value: Value): string {
  if (value === undefined || value === '') return 'none';
  if (value === 'any') return '*';
  if (Array.isArray(value)) return value.length === 0 ? 'none' : maskSecrets(value.join(','));
  return maskSecrets(String(value));
}

/** Shows the length of each secret. For an address, it shows the address without its secret parts. */
function maskedValue(value: Value): string {
  if (value === undefined) return 'none';
  if (Array.isArray(value))
    return value.length === 0 ? 'none' : value.map((secret) => lengthOf(String(secret))).join('; ');
  const text = String(value);
  return /^[a-z+]+:\/\//i.test(text) ? maskedAddress(text) : lengthOf(text);
}

function lengthOf(secret: string): string {
  return `set, ${secret.length} characters`;
}
