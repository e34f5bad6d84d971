// The load: a separate process, on Bun.

import { spending } from '../clock.ts';
import { serveCommands } from '../commands.ts';
import { type Posting, post } from './load-posts.ts';
import { LoadSockets, type Opening } from './load-sockets.ts';

const sockets = new LoadSockets();
let spent = spending();

const commands = {
  open: (opening: Opening) => sockets.open(opening),
  /** Forgets what was received and used so far. */
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
  async beat({ perSecond, seconds }: { readonly perSecond: number; readonly seconds: number }) {
    const sent = await sockets.beat(perSecond, seconds);
    return { sent };
  },
  fallSilent: ({ overSeconds }: { readonly overSeconds: number }) => sockets.fallSilent(overSeconds),
  pingOnce: () => ({ sent: sockets.pingOnce() }),
  allowEnds: () => sockets.allowEnds(),
  comeBack: (opening: Opening) => sockets.comeBack(opening),
  returned: () => sockets.returned(),
  close: () => sockets.close(),
};

export type LoadCommands = typeof commands;

serveCommands(commands);
