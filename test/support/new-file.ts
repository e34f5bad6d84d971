import { forgetFreshUsers } from './stores.ts';

/** Vitest's setup before each file. The process may have run another file before. */
forgetFreshUsers();
