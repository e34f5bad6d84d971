import type { Config } from './config.ts';
import type { Kind } from './kinds.ts';

/** What a default may depend on. */
export interface DefaultContext {
  readonly environment: Config['environment'];
  /** What was given by a source, before any default. */
  readonly given: Partial<Config>;
  readonly hostname: string;
}

/** One configuration key: all that there is to say about it, said once. */
export interface Key<Value> {
  readonly variable: string;
  readonly kind: Kind<Exclude<Value, undefined>>;
  /** The default as the reference writes it. */
  readonly defaultText: string;
  defaultValue(context: DefaultContext): Value;
  /** Secrets are masked wherever they are shown, and may be given as `<variable>_FILE`. */
  readonly secret?: true;
  /** One sentence, or a few words, for the reference. */
  readonly about: string;
  /** What `LINGXI_PROFILE=seed` makes of it, and the risk that is printed with it. */
  readonly seed?: {
    readonly value: Value;
    readonly risk: string;
    /** Where the profile leaves the default alone: a condition, and the same as the reference writes it. */
    readonly only?: { readonly text: string; when(context: DefaultContext): boolean };
  };
}

/** Every field of the configuration has exactly one key: the compiler checks it. */
export type Keys = { readonly [Field in keyof Config]: Key<Config[Field]> };

export function fixed<Value extends string | number | boolean>(
  value: Value,
): { readonly defaultText: string; defaultValue(): Value } {
  return { defaultText: `\`${value}\``, defaultValue: () => value };
}

export const unset = { defaultText: 'none', defaultValue: () => undefined };

/** Everything but production: nothing outside can rely on it. */
export function isDevelopment(environment: Config['environment']): boolean {
  return environment !== 'production';
}
