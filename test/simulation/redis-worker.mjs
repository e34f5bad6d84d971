// The thread that talks to Redis while the simulation stands still. It writes the commands and returns the replies.
import { connect } from 'node:net';
import { workerData } from 'node:worker_threads';

const { port, shared, redisPort } = workerData;
const head = new Int32Array(shared, 0, 2);
const body = Buffer.from(shared, head.byteLength);
const socket = connect(redisPort, '127.0.0.1').setNoDelay(true);
let unread = Buffer.alloc(0);
let at = 0;
let replies = [];
let expected = 0;
let call = 0;

port.on('message', ({ number, text, count }) => {
  call = number;
  if (socket.destroyed) return answer({ failure: 'Redis closed the connection' });
  expected = count;
  socket.write(text);
});
socket.on('data', (bytes) => {
  // A copy, because the runtime may reuse its buffer before the rest of a reply arrives.
  unread = Buffer.concat([unread, bytes]);
  if (expected === 0) return answer({ failure: `it sent an unexpected reply: ${unread.toString('latin1')}` });
  while (replies.length < expected) {
    at = 0;
    const reply = read();
    if (reply === undefined) return;
    replies.push(reply);
    unread = unread.subarray(at);
  }
  answer({ replies });
});
socket.on('error', ({ message }) => answer({ failure: message }));
socket.on('close', () => answer({ failure: 'Redis closed the connection' }));

function answer(told) {
  replies = [];
  expected = 0;
  let text = JSON.stringify({ number: call, ...told });
  if (Buffer.byteLength(text) > body.length) text = '{"failure":"the answer is too long"}';
  Atomics.store(head, 1, body.write(text));
  Atomics.store(head, 0, call);
  Atomics.notify(head, 0);
}

/** One reply that begins at `at`. Undefined if its end has not arrived yet. */
function read() {
  const end = unread.indexOf('\r\n', at);
  if (end < 0) return undefined;
  const kind = unread[at];
  const line = unread.toString('utf8', at + 1, end);
  at = end + 2;
  if (kind === 0x2b) return line;
  if (kind === 0x2d) return { error: line };
  if (kind === 0x3a) return Number(line);
  const length = Number(line);
  if (length < 0) return null;
  return kind === 0x24 ? readText(length) : readArray(length);
}

function readText(length) {
  if (unread.length < at + length + 2) return undefined;
  const text = unread.toString('utf8', at, at + length);
  at += length + 2;
  return text;
}

function readArray(length) {
  const values = [];
  for (let index = 0; index < length; index += 1) {
    const value = read();
    if (value === undefined) return undefined;
    values.push(value);
  }
  return values;
}
