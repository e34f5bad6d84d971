import { once } from 'node:events';
import { WebSocket } from 'ws';
import type { ChromiumProcess } from '../support/chromium-process.ts';

/** A tab over the plain DevTools protocol. Playwright would keep each page visible and focused. */
export interface Tab {
  /** Shows this tab, which hides the previous one. */
  activate(): Promise<void>;
  freeze(isFrozen: boolean): Promise<void>;
  /** The awaited value of an expression. */
  evaluate<T>(expression: string): Promise<T>;
}

export interface Devtools {
  /** Opens `url` in a tab of the one window, and shows it. */
  open(url: string): Promise<Tab>;
  /** Ends the browser. */
  close(): Promise<void>;
}

interface Answer {
  readonly id?: number;
  readonly result?: Record<string, unknown>;
  readonly error?: { readonly message: string };
}

type Call = (
  method: string,
  params: Record<string, unknown>,
  sessionId?: string,
) => Promise<Record<string, unknown>>;

export async function connectDevtools({ url, stop }: ChromiumProcess): Promise<Devtools> {
  const socket = new WebSocket(url);
  await once(socket, 'open');
  const call = callsOver(socket);
  return {
    async open(address) {
      const { targetId } = await call('Target.createTarget', { url: address });
      const { sessionId } = await call('Target.attachToTarget', { targetId, flatten: true });
      return tabOf(call, String(targetId), String(sessionId));
    },
    async close() {
      await call('Browser.close', {}).catch(() => undefined);
      socket.terminate();
      await stop();
    },
  };
}

function callsOver(socket: WebSocket): Call {
  const waiting = new Map<number, (answer: Answer) => void>();
  let calls = 0;
  socket.on('message', (data: Buffer) => {
    const answer = JSON.parse(data.toString()) as Answer;
    if (answer.id === undefined) return;
    waiting.get(answer.id)?.(answer);
    waiting.delete(answer.id);
  });
  socket.on('close', () => {
    for (const settle of waiting.values()) settle({ error: { message: 'Chromium has ended' } });
  });
  socket.on('error', () => undefined);
  return (method, params, sessionId) =>
    new Promise((resolve, reject) => {
      calls += 1;
      waiting.set(calls, ({ result, error }) => {
        if (error === undefined) resolve(result ?? {});
        else reject(new Error(`${method}: ${error.message}`));
      });
      socket.send(JSON.stringify({ id: calls, method, params, sessionId }));
    });
}

function tabOf(call: Call, targetId: string, sessionId: string): Tab {
  return {
    async activate() {
      await call('Target.activateTarget', { targetId });
    },
    async freeze(isFrozen) {
      await call('Page.setWebLifecycleState', { state: isFrozen ? 'frozen' : 'active' }, sessionId);
    },
    async evaluate<T>(expression: string) {
      const params = { expression, awaitPromise: true, returnByValue: true };
      const { result, exceptionDetails } = await call('Runtime.evaluate', params, sessionId);
      if (exceptionDetails !== undefined)
        throw new Error(`${expression} threw ${JSON.stringify(exceptionDetails)}`);
      return (result as { readonly value: T }).value;
    },
  };
}
