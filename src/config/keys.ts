import type { Config } from './config.ts';
import type { Key, Keys } from './key.ts';
import { connectionKeys } from './keys-connections.ts';
import { serverKeys } from './keys-server.ts';
import { storeKeys } from './keys-stores.ts';

/** Every configuration key, by the field that it fills. */
export const KEYS: Keys = { ...serverKeys, ...storeKeys, ...connectionKeys };

/** The sections of the reference, in reading order. */
export const SECTIONS: readonly { readonly title: string; readonly keys: readonly Key<unknown>[] }[] = [
  { title: 'Server and credentials', keys: Object.values(serverKeys) },
  { title: 'Stores', keys: Object.values(storeKeys) },
  {
    title: 'Heartbeat, queues and limits',
    keys: Object.values(connectionKeys),
  },
];

/** The variable that names the configuration file. It is the only one without a field. */
export const CONFIG_FILE_VARIABLE = 'LINGXI_CONFIG';

export const SECRET_FILE_SUFFIX = '_FILE';

export const FIELDS = Object.keys(KEYS) as readonly (keyof Config)[];

/** Every valid name, including those of secret files. */
export const KNOWN_VARIABLES: ReadonlySet<string> = new Set([
  CONFIG_FILE_VARIABLE,
  ...Object.values(KEYS).flatMap((key) =>
    key.secret === true ? [key.variable, `${key.variable}${SECRET_FILE_SUFFIX}`] : [key.variable],
  ),
]);
