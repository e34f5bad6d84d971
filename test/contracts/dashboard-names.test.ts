import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Deployment, deploy, freshUser, ONE_OF_EACH } from '../support/stores.ts';

describe.concurrent.each(ONE_OF_EACH)('names on the dashboard: $runtime, $kind', ({ runtime, kind }) => {
  let deployment: Deployment;
  beforeAll(async () => {
    deployment = await deploy({ runtime, kind });
  });
  afterAll(() => deployment?.stop());

  const read = async (path: string) =>
    (await deployment.gateway.service('GET', `/api/dashboard/users${path}`)).body;

  it('a user without a name has the same one in the list, in the search and on the page of the user', async () => {
    const user = freshUser();
    await deployment.gateway.service('POST', '/api/online/login', { playerId: user });
    const username = `Player ${user}`;
    expect((await read(`/${user}`))['player']).toMatchObject({ username });
    expect((await read(`?search=${user}`))['users']).toMatchObject([{ userId: user, username }]);
    expect((await read(`?search=player%20${user}&sort=name`))['users']).toMatchObject([{ userId: user }]);
  });
});
