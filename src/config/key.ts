import type { Config } from './config.ts';
import type { Kind } from './kinds.ts';

/** The inputs of a default. */
export interface DefaultContext {
  readonly environment: Config['environment'];
  /** The values from the sources, before any default. */
  readonly given: Partial<Config>;
  readonly hostname: string;
}

/** One configuration key, with everything about it. */
export interface Key<Value> {
  readonly variable: string;
  readonly kind: Kind<Exclude<Value, undefined>>;
  /** The default as text, for the reference. */
  readonly defaultText: string;
  defaultValue(context: DefaultContext): Value;
  /** Secrets are masked in all output. They may be given as `<variable>_FILE`. */
  readonly secret?: true;
  /** One sentence, or a few words, for the reference. */
  readonly about: string;
  /** The value under `LINGXI_PROFILE=seed`, and the risk that the start prints. */
  readonly seed?: {
    readonly value: Value;
    readonly risk: string;
    /** The profile applies only under this condition. `text` is the condition as text, for the reference. */
    readonly only?: { readonly text: string; when(context: DefaultContext): boolean };
  };
}

/** Every field of the configuration has exactly one key. The compiler checks it. */
export type Keys = { readonly [Field in keyof Config]: Key<Config[Field]> };

export function fixed<Value extends string | number | boolean>(
  value: Value,
): { readonly defaultText: string; defaultValue(): Value } {
  return { defaultText: `\`${value}\``, defaultValue: () => value };
}

export const unset = { defaultText: 'none', defaultValue: () => undefined };

/** Every environment but production. */
export function isDevelopment(environment: Config['environment']): boolean {
  return environment !== 'production';
}
