import { Redis } from 'ioredis';

/**
 * Sends one command on a separate connection and returns the reply in the form of redis-cli, without the last newline: an array
 * has one element per line, and no value is an empty text. An error reply rejects: a refused command has changed nothing. A
 * process for each command would cost a hundredth of a second of CPU.
 */
export async function callRedis(port: number, [command = '', ...args]: readonly string[]): Promise<string> {
  const redis = new Redis({
    ...{ host: '127.0.0.1', port, enableReadyCheck: false, disableClientInfo: true },
    // The end of a Redis that a test has stopped is an answer too.
    retryStrategy: () => null,
  });
  // The command rejects with this error.
  redis.on('error', () => undefined);
  try {
    return textOf(await redis.call(command, ...args)).replace(/\n$/, '');
  } finally {
    redis.disconnect();
  }
}

function textOf(reply: unknown): string {
  if (Array.isArray(reply)) return reply.map(textOf).join('\n');
  return reply === null ? '' : String(reply);
}
