import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Runtime } from '../support/gateway-process.ts';
import { createProgramFolder, type ProgramFolder } from '../support/program.ts';

let folder: ProgramFolder;
beforeAll(() => {
  folder = createProgramFolder();
});
afterAll(() => folder?.remove());

/** Runs a program to its end, and returns the values that it printed by `tell`. */
async function played(runtime: Runtime, text: string, env?: Readonly<Record<string, string>>) {
  const child = folder.start(
    runtime,
    `const tell = (value) => console.log(JSON.stringify(value));\n${text}`,
    env,
  );
  const { code } = await child.exited;
  expect(code, child.output()).toBe(0);
  return child
    .output()
    .split('\n')
    .filter((line) => /^["{[]/.test(line))
    .map((line) => JSON.parse(line) as unknown);
}

describe.each(['bun', 'node'] as const)('the package as a library on %s', (runtime) => {
  it('[contract 7] returns one sentence for a wrong call, and never throws', async () => {
    const sentences = await played(
      runtime,
      `import { createGateway, loadConfig, silentLog } from 'lingxi';
      for (const options of [
        undefined, null, {}, { config: null }, { config: 3000 }, { config: [] },
        { config: { sendQueu: 64 } }, { config: { PORT: 3000 } }, { config: { port: 'x' } }, { config: { port: -1 } },
        { config: { port: {} } }, { config: { jwtSecrets: 'short-secret' } }, { config: { jwtSecrets: [1] } },
        { config: { pingIntervalMs: 20000 } },
        { config: { port: 0 }, log: console.log }, { config: { port: 0 }, log: { info() {} } },
        { config: { port: 0 }, clock: {} },
        { config: loadConfig({ env: { PORT: 'x' } }) },
        { config: { environment: 'production' }, log: silentLog },
      ]) {
        const started = await createGateway(options);
        tell(started.ok ? 'it started' : started.error.message);
      }`,
    );
    const needed = expect.stringMatching(
      /^createGateway needs a configuration: pass \{ config: loadConfig\(\) \}/,
    );
    expect(sentences).toEqual([
      ...Array.from({ length: 6 }, () => needed),
      'The configuration has no field "sendQueu": did you mean sendQueue?',
      'The configuration has no field "PORT": write port, or give variables to loadConfig({ env }).',
      expect.stringMatching(
        /^The field port of the configuration must be a whole number from 0 to 65535.*, not "x"\.$/,
      ),
      expect.stringMatching(/^The field port of the configuration must be a whole number.*, not "-1"\.$/),
      expect.stringMatching(/^The field port of the configuration must be a whole number[^"]*\.$/),
      expect.stringMatching(/^JWT_SECRET must have at least 32 bytes/),
      expect.stringMatching(/^The field jwtSecrets of the configuration must be one secret/),
      expect.stringMatching(/^LINGXI_PING_INTERVAL_MS \(20000\) must be shorter/),
      expect.stringMatching(/^The log of createGateway must have the methods debug, info, warn, error\.$/),
      expect.stringMatching(/^The log of createGateway must have the methods/),
      expect.stringMatching(/^The clock of createGateway must have the methods/),
      expect.stringMatching(/^PORT must be a whole number/),
      expect.stringMatching(/^JWT_SECRET is missing: with NODE_ENV=production/),
    ]);
  });

  it('[contract 7] starts from the result of loadConfig, from fields, and again after a stop', async () => {
    const told = await played(
      runtime,
      `import { createGateway, loadConfig, silentLog } from 'lingxi';
      const lines = [];
      const log = { ...silentLog, info: (fields, message) => lines.push(fields.event) };
      const loaded = loadConfig({ env: { PORT: '0', LINGXI_DATA_DIR: 'one' } });
      for (const config of [loaded, loaded.value, { ...loaded.value.config, port: 0 }, { port: 0, dataDir: 'two' }]) {
        const started = await createGateway({ config, log });
        if (!started.ok) throw new Error(started.error.message);
        const { status } = await fetch(started.value.urls[0] + '/healthz');
        const { status: absent } = started.value.manager.sendToUser(1, 'note', {});
        await started.value.stop();
        tell([status, absent, lines.includes('stopped')]);
      }`,
    );
    expect(told).toEqual(Array.from({ length: 4 }, () => [200, 'offline', true]));
  }, 60_000);

  it('writes its log to standard output by default, and uses NODE_ENV of the environment', async () => {
    const told = await played(
      runtime,
      `import { createGateway } from 'lingxi';
      const refused = await createGateway({ config: { port: 0 } });
      tell(refused.error.message);
      process.env.NODE_ENV = 'development';
      const started = await createGateway({ config: { port: 0, dataDir: 'three' } });
      await started.value.stop();`,
      { NODE_ENV: 'production' },
    );
    expect(told[0]).toMatch(/^JWT_SECRET is missing/);
    expect(told).toContainEqual(expect.objectContaining({ event: 'stopped', level: 'info' }));
  });
});
