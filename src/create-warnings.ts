import type { Config } from './config/config.ts';
import { DEFAULT_MAX_CONNECTIONS } from './config/keys-connections.ts';
import { openToOthers } from './config/make-folder.ts';
import { sayDescriptorLimit } from './gateway/descriptor-limit.ts';
import type { Log } from './logging/log.ts';

/** Logs where this machine does not fit the configuration. Called once the data folder exists. */
export function warnOfSurroundings(config: Config, log: Log): void {
  const isReliedOn = config.environment === 'production' || config.maxConnections !== DEFAULT_MAX_CONNECTIONS;
  sayDescriptorLimit(log, config.maxConnections, { isReliedOn });
  if (config.databaseUrl === undefined && openToOthers(config.dataDir))
    log.warn(
      { event: 'config', variable: 'LINGXI_DATA_DIR', value: config.dataDir },
      'other users of this machine may enter the data folder and lock the database: give the folder to this user and set its mode to 0700',
    );
}
