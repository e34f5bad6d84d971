import type { Runtime } from '../../test/support/gateway-process.ts';
import { sleep } from '../../test/support/ports.ts';
import { requireDescriptors } from '../descriptors.ts';
import { doneRow, limitRow } from '../limit.ts';
import { bounded, type Outcome, plain, type Subject } from '../report/rows.ts';
import { cpuMsOf, SELDOM_HEARTBEATS, withGateway, withLoad } from '../servers/processes.ts';

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
/** The first requests do not count, because the server then compiles hot code. */
const WARM_UP_SECONDS = 1;

/** Posts to random users as fast as the server answers. */
export function measurePosts(plan: PostPlan): Promise<Outcome> {
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
      const subject: Subject = `lingxi-${runtime}`;
      const perSecond = (posted.answered * 1000) / posted.ms;
      const micros = (server.cpuMs * 1000) / posted.answered;
      const kind = batch === 1 ? 'single' : `${batch} in a request`;
      const rows = [
        bounded(`${name}: in requests of ${batch} on ${connections} connections`, perSecond, bound),
        plain(`${name}: CPU of the server a message`, `${micros.toFixed(1)} µs`),
        doneRow(name, posted.asked, frames),
        limitRow(name, 'fast', { server, load: posted }),
      ];
      const cells = [
        { line: `${plan.name} messages/s by HTTP, ${kind}`, subject, value: perSecond, unit: '/s' },
        { line: `${plan.name} CPU of one of them`, subject, value: micros, unit: 'µs', digits: 1 },
      ];
      return { rows, cells };
    }),
  );
}
