/** The options that both kinds of load share. */
export interface LoadOptions {
  readonly target?: string;
  readonly apiKey?: string;
  readonly key?: string;
  readonly jwtSecret?: string;
  readonly firstUser?: number;
  readonly yesThisIsMine?: true;
  readonly json?: true;
}

export interface BenchOptions extends LoadOptions {
  readonly connections: number;
  readonly loginsPerSecond: number;
  readonly pushesPerSecond: number;
  readonly seconds: number;
  readonly detection?: true;
}

export interface SoakOptions extends LoadOptions {
  readonly minutes: number;
  readonly users: number;
}

/** The exit code of an incomplete run. */
export const EXIT_NOT_MEASURED = 2;
