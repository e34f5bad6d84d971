import type { Case, Part } from './case.ts';
import type { Users } from './handshakes.ts';
import { Line, type LineTarget } from './line.ts';

/** Number of parts that are sent before the client waits until all of them were read. */
const PARTS_AT_ONCE = 50;
/** The same for bytes: a larger part is sent alone. */
const BYTES_AT_ONCE = 131_072;
/** How long the client waits for a possible end, and for a required one. */
const MAYBE_MS = 200;
const SURELY_MS = 5_000;
/** Codes of the application's range that the product closes with. Other codes are echoes of the client's close. */
const OURS: ReadonlySet<number> = new Set([4000, 4001, 4002, 4003, 4100, 4101, 4102]);
/** The result of a case after which a connection that must end still answered a ping. */
export const KEPT = 'kept: a ping after a forbidden frame was answered';
/** The result of a case after which a connection that must live answered no ping. */
export const SILENT = 'silent: a ping was not answered';

/** The target of the kinds `frames` and `json`. */
export interface SocketTarget extends LineTarget {
  readonly users: Users;
}

let connections = 0;

/**
 * Opens a WebSocket, sends the parts, and returns how the connection ended. After each batch it waits for a pong, so that at most
 * a few dozen parts of each connection wait at the server.
 */
export async function playSocket(target: SocketTarget, input: Case): Promise<string> {
  connections += 1;
  const { first, last } = target.users;
  const userId = first + (connections % (last - first + 1));
  const line = new Line(target, { userId, protocol: input.protocol });
  const status = await line.opened();
  if (status !== 101) {
    line.reset();
    return status === undefined ? 'no answer to the handshake' : `handshake ${status}`;
  }
  for (const { parts, isSure, mustEnd } of batches(input.parts)) {
    line.write(Buffer.concat(parts.map(({ bytes }) => bytes)));
    await line.fence(isSure ? SURELY_MS : MAYBE_MS);
    if (line.ended) break;
    if (line.answered && mustEnd) {
      line.reset();
      return KEPT;
    }
    if (!line.answered && isSure) {
      line.reset();
      return SILENT;
    }
  }
  return leave(line, input);
}

async function leave(line: Line, input: Case): Promise<string> {
  if (!line.ended) {
    if (input.leaving === 'reset') line.reset();
    else if (input.leaving === 'end') line.end();
    else await line.over(MAYBE_MS);
  }
  await line.over(MAYBE_MS);
  const { code, ended } = line;
  line.reset();
  if (code !== undefined)
    return code < 3_000 || OURS.has(code) ? `close ${code}` : 'close with a code of the client';
  return ended ? 'ended' : 'left';
}

interface Batch {
  readonly parts: readonly Part[];
  /** Whether the connection must still answer after this part. */
  readonly isSure: boolean;
  /** Whether the connection must not answer any more. */
  readonly mustEnd: boolean;
}

/** The parts after one that may end the connection are sent in one write. */
function* batches(parts: readonly Part[]): Generator<Batch> {
  let batch: Part[] = [];
  let bytes = 0;
  let isSure = true;
  let mustEnd = false;
  for (const part of parts) {
    batch.push(part);
    bytes += part.bytes.length;
    if (part.mayEnd === true) isSure = false;
    if (part.mustEnd === true) mustEnd = true;
    if (!isSure || (batch.length < PARTS_AT_ONCE && bytes < BYTES_AT_ONCE)) continue;
    yield { parts: batch, isSure, mustEnd };
    batch = [];
    bytes = 0;
  }
  if (batch.length > 0) yield { parts: batch, isSure, mustEnd };
}
