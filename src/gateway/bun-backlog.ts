import { readdirSync } from 'node:fs';

/** Constants of Linux, `<sys/socket.h>`. */
const SOL_SOCKET = 1;
const SO_ACCEPTCONN = 30;
/** Offset of the port in `struct sockaddr_in` and `sockaddr_in6`. */
const PORT_OFFSET = 2;
const SOCKADDR_BYTES = 128;
const INT_BYTES = 4;

/** The C libraries glibc and musl. */
const C_LIBRARIES = ['libc.so.6', 'libc.so'];
const FUNCTIONS = {
  getsockopt: { args: ['i32', 'i32', 'i32', 'ptr', 'ptr'], returns: 'i32' },
  getsockname: { args: ['i32', 'ptr', 'ptr'], returns: 'i32' },
  listen: { args: ['i32', 'i32'], returns: 'i32' },
} as const;

interface SocketCalls {
  getsockopt(socket: number, level: number, name: number, value: Uint8Array, length: Uint32Array): number;
  getsockname(socket: number, address: Uint8Array, length: Uint32Array): number;
  listen(socket: number, backlog: number): number;
}

/** The part of `bun:ffi` that is needed here. */
interface ForeignFunctions {
  dlopen(library: string, functions: typeof FUNCTIONS): { readonly symbols: SocketCalls };
}

let loaded: SocketCalls | undefined;

/**
 * Sets how many connections may wait on the listening sockets of `port` until the loop accepts them. `Bun.serve` fixes this at
 * 512, and a second `listen` on Linux changes it. Returns false if this system does not allow it: then the limit stays 512.
 */
export function lengthenBacklog(port: number, backlog: number): boolean {
  if (process.platform !== 'linux') return false;
  try {
    loaded ??= socketCalls();
    const calls = loaded;
    let isDone = false;
    for (const name of readdirSync('/proc/self/fd')) {
      const socket = Number(name);
      if (isListening(calls, socket) && portOf(calls, socket) === port)
        isDone = calls.listen(socket, backlog) === 0 || isDone;
    }
    return isDone;
  } catch {
    return false;
  }
}

function socketCalls(): SocketCalls {
  const ffi = process.getBuiltinModule('bun:ffi') as unknown as ForeignFunctions;
  for (const library of C_LIBRARIES) {
    try {
      return ffi.dlopen(library, FUNCTIONS).symbols;
    } catch {
      // Try the next library, if there is one.
    }
  }
  throw new Error('no C library was found');
}

function isListening(calls: SocketCalls, socket: number): boolean {
  const value = new Uint32Array(1);
  const length = new Uint32Array([INT_BYTES]);
  return (
    calls.getsockopt(socket, SOL_SOCKET, SO_ACCEPTCONN, new Uint8Array(value.buffer), length) === 0 &&
    value[0] === 1
  );
}

function portOf(calls: SocketCalls, socket: number): number | undefined {
  const address = new Uint8Array(SOCKADDR_BYTES);
  if (calls.getsockname(socket, address, new Uint32Array([SOCKADDR_BYTES])) !== 0) return undefined;
  return new DataView(address.buffer).getUint16(PORT_OFFSET);
}
