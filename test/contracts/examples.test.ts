import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { REPOSITORY } from '../support/cache.ts';
import { runProgram } from '../support/lingxi-command.ts';
import { viewPresence } from '../support/presence-view.ts';
import { type Deployment, deploy, freshUser } from '../support/stores.ts';

const FOLDER = join(REPOSITORY, 'docs/examples');
const PAGE = readFileSync(join(REPOSITORY, 'docs/PUSHING.md'), 'utf8');

/** How each example is run, and the program that this machine needs for it. */
const EXAMPLES = [
  { file: 'push.sh', needs: 'curl', command: ['sh'] },
  { file: 'push.py', needs: 'python3', command: ['python3'] },
  { file: 'push.go', needs: 'go', command: ['go', 'run'] },
  { file: 'publish.sh', needs: 'redis-cli', command: ['sh'] },
] as const;

async function isInstalled(program: string): Promise<boolean> {
  const { code } = await runProgram(['/bin/sh', '-c', `command -v ${program}`]);
  return code === 0;
}

describe.each(['bun', 'node'] as const)('the examples of PUSHING.md against a server on %s', (runtime) => {
  let deployment: Deployment;
  beforeAll(async () => {
    deployment = await deploy({ runtime, kind: 'redis+postgres' });
  });
  afterAll(() => deployment?.stop());

  it.concurrent.each(EXAMPLES)('$file reaches the user', async ({ file, needs, command }) => {
    if (!(await isInstalled(needs))) {
      process.stdout.write(`examples: ${needs} is not installed here, so ${file} was not run\n`);
      return;
    }
    const { gateway, stores } = deployment;
    const user = freshUser();
    const client = await viewPresence(deployment).v1(user);
    await client.next('welcome');
    const env = {
      GATEWAY_URL: gateway.url,
      LINGXI_API_KEY: gateway.apiKey,
      REDIS_URL: stores.redis?.url ?? '',
    };
    const ended = await runProgram([...command, join(FOLDER, file), String(user)], { env });
    expect(ended.code, ended.output).toBe(0);
    if (file !== 'publish.sh')
      expect(JSON.parse(ended.out)).toMatchObject({ results: [{ userId: user, status: 'written' }] });
    expect((await client.next('note')).data).toEqual({ text: 'hello' });
    client.terminate();
    if (file === 'publish.sh') return;
    // A script must notice that nothing was sent.
    const refused = await runProgram([...command, join(FOLDER, file), String(user)], {
      env: { ...env, LINGXI_API_KEY: 'wrong' },
    });
    expect(refused.code, refused.output).not.toBe(0);
  });
});

describe('PUSHING.md', () => {
  it.each(readdirSync(FOLDER))('shows %s as it is', (file) => {
    expect(PAGE).toContain(`\n${readFileSync(join(FOLDER, file), 'utf8')}\`\`\`\n`);
    expect(EXAMPLES.map((example) => example.file)).toContain(file);
  });
});
