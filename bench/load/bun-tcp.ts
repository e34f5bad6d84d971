/** The part of Bun's TCP client that the load uses: on a bare socket a frame costs little more than the system call. */
export interface TcpSocket<State> {
  data: State;
  /** Number of bytes that the system accepted. */
  write(bytes: Uint8Array): number;
  end(): void;
}

export interface TcpHandlers<State> {
  data(socket: TcpSocket<State>, bytes: Buffer): void;
  drain(socket: TcpSocket<State>): void;
  close(socket: TcpSocket<State>): void;
  error(socket: TcpSocket<State>, error: Error): void;
}

interface BunTcp {
  connect<State>(options: {
    readonly hostname: string;
    readonly port: number;
    readonly data: State;
    readonly socket: TcpHandlers<State>;
  }): Promise<TcpSocket<State>>;
}

/** Connects to a port of this machine; rejects with a sentence if nothing listens there. */
export async function connectTcp<State>(
  port: number,
  data: State,
  socket: TcpHandlers<State>,
): Promise<TcpSocket<State>> {
  const { Bun } = globalThis as unknown as { readonly Bun: BunTcp };
  try {
    return await Bun.connect({ hostname: '127.0.0.1', port, data, socket });
  } catch (error) {
    throw new Error(`the server does not take connections on port ${port}: ${String(error)}`, {
      cause: error,
    });
  }
}

/** Bytes that the system has not accepted yet. The socket's `drain` writes them. */
export interface Unwritten {
  rest: Uint8Array | undefined;
}

/** Writes `bytes`, now or as soon as the system accepts them. The caller may overwrite them afterwards. */
export function writeAll(socket: TcpSocket<Unwritten>, bytes: Uint8Array): void {
  if (socket.data.rest !== undefined) {
    socket.data.rest = Buffer.concat([socket.data.rest, bytes]);
    return;
  }
  const taken = Math.max(0, socket.write(bytes));
  if (taken < bytes.length) socket.data.rest = Buffer.from(bytes.subarray(taken));
}

export function writeRest(socket: TcpSocket<Unwritten>): void {
  const { rest } = socket.data;
  if (rest === undefined) return;
  socket.data.rest = undefined;
  writeAll(socket, rest);
}
