import type { Runtime } from '../support/gateway-process.ts';
import { sleep } from '../support/ports.ts';
import { requireDescriptors } from './descriptors.ts';
import { doneRow, limitRow } from './limit.ts';
import { cpuMsOf, SELDOM_HEARTBEATS, withGateway, withLoad } from './processes.ts';
import { bounded, plain, type Row } from './rows.ts';

export interface PostPlan {
  readonly name: string;
  readonly runtime: Runtime;
  readonly users: number;
  readonly seconds: number;
  readonly batch: number;
  /** Keep-alive connections, each with one request in progress. */
  readonly connections: number;
  readonly goal: number | undefined;
}

const AT_ONCE = 500;
const ARRIVAL_MS = 500;
/** The first requests, while the server compiles what it runs often, do not count. */
const WARM_UP_SECONDS = 1;

/** Posts to random users as fast as the server answers. */
export function measurePosts(plan: PostPlan): Promise<readonly Row[]> {
  const { runtime, users, seconds, batch, connections, goal } = plan;
  requireDescriptors(users, connections);
  return withGateway({ runtime, stores: 'embedded', env: SELDOM_HEARTBEATS }, (gateway) =>
    withLoad(async (load) => {
      const { apiKey, jwtSecret: secret } = gateway;
      const port = gateway.port();
      await load.call('open', { port, secret, first: 1, count: users, atOnce: AT_ONCE });
      const posting = { port, apiKey, batch, connections, first: 1, users };
      await load.call('post', { ...posting, seconds: WARM_UP_SECONDS });
      await sleep(ARRIVAL_MS);
      await load.call('forget');
      const before = await cpuMsOf(gateway);
      const posted = await load.call('post', { ...posting, seconds });
      const server = { ms: posted.ms, cpuMs: (await cpuMsOf(gateway)) - before };
      await sleep(ARRIVAL_MS);
      const { frames } = await load.call('received');
      const name = `${plan.name} ${runtime}, ${users} connections`;
      const bound = { unit: ' messages/s', ...(goal === undefined ? {} : { atLeast: goal }) };
      return [
        bounded(
          `${name}: in requests of ${batch} on ${connections} connections`,
          (posted.answered * 1000) / posted.ms,
          bound,
        ),
        plain(
          `${name}: CPU of the server a message`,
          `${((server.cpuMs * 1000) / posted.answered).toFixed(1)} µs`,
        ),
        doneRow(name, posted.asked, frames),
        limitRow(name, server, posted),
      ];
    }),
  );
}
