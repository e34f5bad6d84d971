import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { REPOSITORY } from '../support/cache.ts';
import { run, startChild } from '../support/child.ts';

/** The files of a clone, without tests and ignored files. */
const CLONED = [
  ...readdirSync(REPOSITORY).filter(
    (name) => !['node_modules', 'dist', 'data', 'test', '.git', '.env', 'coverage'].includes(name),
  ),
  // The page of the simulator is built from it.
  'test/simulation',
];

let work: string;
let packed: { readonly filename: string; readonly files: readonly { readonly path: string }[] };

const PAGE = `
  import { createClient, type State } from 'lingxi/client';
  import { createSharedClient } from 'lingxi/client/shared';
  import { useLingxi as useReact } from 'lingxi/react';
  import wsManager, { useWebSocket } from 'lingxi/seed';
  import { useLingxi } from 'lingxi/vue';
  interface Game { 'spirit:grow': { gainAmount: number } }
  const client = createClient<Game>({ token: 'x', WebSocket, signal: AbortSignal.abort() });
  client.on('spirit:grow', (data) => data.gainAmount.toFixed());
  const state: State = createSharedClient<Game>({ user: 7, getToken: async () => 'x' }).state;
  const gained: number | undefined = useLingxi(client).newest('spirit:grow').value?.gainAmount;
  export const all = [state, gained, useReact(client), wsManager.isConnected, useWebSocket()];
`;

/** A fresh clone, with the dependencies installed or without. */
function clone(name: string, installed: boolean): string {
  const folder = join(work, name);
  for (const entry of CLONED) cpSync(join(REPOSITORY, entry), join(folder, entry), { recursive: true });
  if (installed) symlinkSync(join(REPOSITORY, 'node_modules'), join(folder, 'node_modules'));
  return folder;
}

async function ended(command: string, args: readonly string[], cwd: string) {
  const child = startChild(command, args, { cwd, env: process.env });
  const { code } = await child.exited;
  return { code, output: child.output() };
}

beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), 'lingxi-package-'));
  const folder = clone('clone', true);
  const text = await run('npm', ['pack', '--json', '--pack-destination', work], {
    cwd: folder,
    env: process.env,
  });
  [packed] = JSON.parse(text.slice(text.indexOf('['))) as [typeof packed];
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

describe('the package', { timeout: 90_000 }, () => {
  it('packed in a fresh clone it contains everything that it needs to run, and neither sources nor tests', () => {
    const paths = packed.files.map(({ path }) => path);
    const scripts = readdirSync(join(REPOSITORY, 'src/presence/store/redis/scripts')).map(
      (name) => `dist/presence/store/redis/scripts/${name}`,
    );
    expect(paths).toEqual(
      expect.arrayContaining([
        'bin/lingxi.js',
        'dist/program/main.js',
        'dist/program/LICENSES.txt',
        'dist/dashboard/index.html',
        'dist/demo/index.html',
        'docs/simulator/index.html',
        'dist/index.js',
        'dist/index.d.ts',
        ...['index', 'shared', 'react', 'seed', 'vue'].flatMap((name) => [
          `dist/client/${name}.js`,
          `dist/client/${name}.d.ts`,
        ]),
        'README.md',
        'LICENSE',
        ...scripts,
      ]),
    );
    expect(paths.filter((path) => /^(src|test|scripts|data|node_modules)\//.test(path))).toEqual([]);
  });

  it('runs from the folder where it was unpacked', async () => {
    const folder = join(work, 'installed');
    await run('tar', ['-xzf', join(work, packed.filename), '-C', work], {});
    cpSync(join(work, 'package'), folder, { recursive: true });
    symlinkSync(join(REPOSITORY, 'node_modules'), join(folder, 'node_modules'));
    expect(await run(process.execPath, [join(folder, 'bin/lingxi.js'), '--help'], { cwd: work })).toMatch(
      /lingxi serve/,
    );
    for (const file of packed.files) expect(existsSync(join(folder, file.path)), file.path).toBe(true);
  });

  it('has types for the project of a page, which has the types of the browser and not those of Node', async () => {
    const folder = join(work, 'page');
    mkdirSync(join(folder, 'node_modules'), { recursive: true });
    symlinkSync(REPOSITORY, join(folder, 'node_modules/lingxi'));
    for (const name of ['react', 'vue'])
      symlinkSync(join(REPOSITORY, 'node_modules', name), join(folder, 'node_modules', name));
    writeFileSync(join(folder, 'page.ts'), PAGE);
    const compiler = join(REPOSITORY, 'node_modules/typescript/bin/tsc');
    const project = ['--noEmit', '--strict', '--target', 'es2022', '--lib', 'es2022,dom', '--types', ''];
    for (const module of ['nodenext', 'preserve'])
      await run(process.execPath, [compiler, ...project, '--module', module, 'page.ts'], { cwd: folder });
  });

  it('installs without development dependencies, and its build reports what is missing', async () => {
    const folder = clone('bare', false);
    // The script that `npm ci --omit=dev` runs at its end.
    const prepared = await ended('npm', ['run', 'prepare'], folder);
    expect(prepared.code).toBe(0);
    expect(prepared.output).toMatch(/not built: TypeScript is missing/);
    const built = await ended('npm', ['run', '--silent', 'build'], folder);
    expect(built.code).toBe(1);
    expect(built.output.trim()).toMatch(
      /^Lingxi is not built: TypeScript is missing.*"npm ci" without --omit=dev/,
    );
    expect(built.output.trim().split('\n')).toHaveLength(1);
    const published = await ended('npm', ['pack', '--silent'], folder);
    expect(published.code).not.toBe(0);
    expect(readdirSync(folder).filter((name) => name.endsWith('.tgz'))).toEqual([]);
  });
});
