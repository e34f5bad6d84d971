import { connect as connectTcp } from 'node:net';
import type { Case } from './case.ts';
import { loopbackAddress } from './loopback.ts';

/** A client leaves if nothing more arrived for this long. */
const QUIET_MS = 100;
/** A client that sent a whole request waits this long for its answer. A busy machine takes some of this time. */
const ANSWER_MS = 1_500;
/** Inputs that the server does not answer. */
const UNANSWERED: readonly string[] = ['partial', 'noise'];
/** How long a client waits for the server to cut it. The server cuts half a request within 11 s. */
const PATIENCE_MS = 15_000;
/** Number of stored characters of the answer, enough for its status line. */
const KEPT_BYTES = 64;
/** A client that reads nothing leaves after this time. */
const DEAF_MS = 1_000;

/** Opens a TCP connection, sends the parts, and returns the first status, or how the connection ended. */
export function playHandshake(port: number, input: Case): Promise<string> {
  return new Promise((resolve) => {
    const socket = connectTcp({ port, host: '127.0.0.1', ...loopbackAddress(), noDelay: true });
    const isSlow = input.recipe === 'slow';
    let head = Buffer.alloc(0);
    let isOver = false;
    const finish = (end: string): void => {
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      const status = /^HTTP\/1\.\d (\d{3})/.exec(head.toString('latin1'))?.[1];
      resolve(status === undefined ? end : `status ${status}`);
    };
    const go = (): void => {
      if (input.leaving === 'end') socket.end();
      // The test does not wait for the rest of the answers.
      setTimeout(() => socket.resetAndDestroy(), input.leaving === 'end' ? QUIET_MS : 0);
      finish(
        input.leaving === 'wait' && !isDeaf ? `open after ${PATIENCE_MS / 1000} s (${input.recipe})` : 'left',
      );
    };
    const isDeaf = input.recipe === 'deaf';
    const answerMs = UNANSWERED.includes(input.recipe) ? QUIET_MS : ANSWER_MS;
    const patience = input.leaving === 'wait' ? PATIENCE_MS : answerMs;
    let timer = setTimeout(go, isDeaf ? DEAF_MS : patience);
    if (isDeaf) socket.pause();
    else
      socket.on('data', (chunk) => {
        if (head.length < KEPT_BYTES) head = Buffer.concat([head, chunk.subarray(0, KEPT_BYTES)]);
        clearTimeout(timer);
        if (!isOver) timer = setTimeout(go, QUIET_MS);
      });
    socket.on('error', () => undefined);
    socket.on('close', () => finish(input.leaving === 'wait' ? 'cut' : 'ended'));
    socket.on('connect', () => {
      const [first, ...rest] = input.parts;
      if (first === undefined) return;
      if (!isSlow) {
        socket.write(Buffer.concat(input.parts.map(({ bytes }) => bytes)));
        return;
      }
      socket.write(first.bytes);
      setTimeout(() => rest.forEach(({ bytes }) => socket.write(bytes)), QUIET_MS / 2);
    });
  });
}
