// The load: a process of its own, on Bun.

import { spending } from './clock.ts';
import { serveCommands } from './commands.ts';
import { type Posting, post } from './load-posts.ts';
import { LoadSockets, type Opening } from './load-sockets.ts';

const sockets = new LoadSockets();
let spent = spending();

const commands = {
  open: (opening: Opening) => sockets.open(opening),
  /** Forgets what was received and spent so far. */
  forget() {
    sockets.forget();
    spent = spending();
  },
  received: () => ({ ...sockets.received(), ...spent() }),
  async post(posting: Posting) {
    const posted = await post(posting).catch((error: unknown) => {
      sockets.check();
      throw error;
    });
    sockets.check();
    return posted;
  },
  ping: ({ perSecond, seconds }: { readonly perSecond: number; readonly seconds: number }) =>
    sockets.ping(perSecond, seconds),
  close: () => sockets.close(),
};

export type LoadCommands = typeof commands;

serveCommands(commands);
