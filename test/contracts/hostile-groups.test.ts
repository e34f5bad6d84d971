import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { logIn } from '../support/log-in.ts';
import { type Deployment, deploy, freshUser, ONE_OF_EACH } from '../support/stores.ts';
import { startWitness, type Witness } from '../support/witness.ts';

const MEMBERS = 3_000;
const MESSAGES = 1_000;
/** Without slices and bounds, each of these batches would keep the node busy for seconds. */
const WITNESS_LIMIT_MS = 3_000;

describe.each(ONE_OF_EACH)(
  'a batch of pushes to a large group, on $runtime over $kind',
  ({ runtime, kind }) => {
    let deployment: Deployment;
    let witness: Witness;
    const service = (path: string, body: unknown) => deployment.gateway.service('POST', path, body);
    beforeAll(async () => {
      // No login by HTTP may expire while the others follow on a busy machine.
      deployment = await deploy({ runtime, kind, env: { LINGXI_HTTP_TIMEOUT_MS: '600000' } });
      const users = Array.from({ length: MEMBERS }, () => freshUser());
      await logIn(deployment.gateway, users[0] ?? 0, MEMBERS);
      for (let at = 0; at < MEMBERS; at += 1_000)
        await service('/api/groups/large', { add: users.slice(at, at + 1_000) });
      witness = await startWitness(deployment.gateway);
    });
    afterAll(async () => {
      witness?.stop();
      await deployment?.stop();
    });

    it('[DL3] [DL5] delays no other client: what the dispatch queue does not accept is dropped', async () => {
      witness.forget();
      const message = { to: { groups: ['large'] }, type: 'note', data: 1 };
      const answer = await service(
        '/api/messages',
        Array.from({ length: MESSAGES }, () => message),
      );
      expect(answer.status).toBe(200);
      const statuses = new Set(
        (answer.body as unknown as { counts: object }[]).flatMap(({ counts }) => Object.keys(counts)),
      );
      expect([...statuses].sort()).toEqual(['dropped', 'offline']);
      await witness.noticedNothing(WITNESS_LIMIT_MS);
    });
  },
);
