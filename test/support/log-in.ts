import { Agent, request } from 'node:http';
import { inTurns } from './crowd.ts';
import type { Gateway } from './gateway-process.ts';

/** Logs in many users by HTTP, without `fetch`, which would cost more than the gateway itself. */
export async function logIn(gateway: Gateway, first: number, count: number): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 50 });
  const headers = { authorization: `Bearer ${gateway.apiKey}` };
  const login = (user: number): Promise<void> =>
    new Promise((resolve, reject) => {
      const url = `${gateway.url}/api/online/login`;
      const asked = request(url, { method: 'POST', agent, headers }, (answer) => {
        answer.resume();
        if (answer.statusCode === 200) answer.once('end', resolve);
        else reject(new Error(`login of ${user} answered ${answer.statusCode}`));
      });
      asked.once('error', reject);
      asked.end(JSON.stringify({ playerId: String(user) }));
    });
  try {
    await inTurns(Array.from({ length: count }), (_, index) => login(first + index));
  } finally {
    agent.destroy();
  }
}
