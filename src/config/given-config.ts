import { err, ok, type Result } from '../lib/result.ts';
import type { Config } from './config.ts';
import { FIELDS, KEYS } from './keys.ts';
import { nearestName } from './nearest-name.ts';
import type { ConfigError } from './sources.ts';

/** Configuration that a program passed as fields, not as variables. */
export interface GivenConfig {
  /** The fields in the form of variables. They are checked and completed like an environment. */
  readonly variables: Readonly<Record<string, string>>;
  /** Fields without a variable. */
  readonly asIs: Partial<Config>;
}

/** Checks each field that a program passed. An unknown field or an invalid value gives one sentence. */
export function readGivenConfig(given: object): Result<GivenConfig, ConfigError> {
  const variables: Record<string, string> = {};
  let asIs: Partial<Config> = {};
  for (const [name, value] of Object.entries(given)) {
    const field = FIELDS.find((known) => known === name);
    if (field === undefined) return err({ message: unknownField(name) });
    if (isLeftOut(value)) continue;
    if (field === 'allowedOrigins' && value === 'same-origin') {
      asIs = { ...asIs, allowedOrigins: 'same-origin' };
      continue;
    }
    const { kind, secret, variable } = KEYS[field];
    const text = field === 'allowedOrigins' && value === 'any' ? '*' : textOf(value);
    if (text === undefined || text === '' || kind.parse(text) === undefined) {
      const seen = secret === true || text === undefined ? '' : `, not ${JSON.stringify(text.slice(0, 80))}`;
      return err({
        message: `The field ${field} of the configuration must be ${kind.expects.replaceAll('`', '')}${seen}.`,
      });
    }
    variables[variable] = text;
  }
  return ok({ variables, asIs });
}

/** A complete configuration provides the values of the fields that were not passed. */
function isLeftOut(value: unknown): boolean {
  return value === undefined || (Array.isArray(value) && value.length === 0);
}

function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value.join(',');
  return undefined;
}

function unknownField(name: string): string {
  const shown = JSON.stringify(name.slice(0, 80));
  const ofVariable = FIELDS.find((field) => KEYS[field].variable === name);
  if (ofVariable !== undefined) {
    return `The configuration has no field ${shown}: write ${ofVariable}, or give variables to loadConfig({ env }).`;
  }
  const upper = new Map(FIELDS.map((field) => [field.toUpperCase(), field]));
  const nearest = upper.get(nearestName(name, upper.keys()) ?? '');
  return nearest === undefined
    ? `The configuration has no field ${shown}: remove it.`
    : `The configuration has no field ${shown}: did you mean ${nearest}?`;
}
