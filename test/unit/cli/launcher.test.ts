import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

/** A program that prints its runtime, instead of the compiled one. */
const PROGRAM = `export async function runCli(argv) {
  console.log(JSON.stringify({ bun: process.versions.bun !== undefined, argv }));
}`;

let app: string;

beforeAll(() => {
  app = mkdtempSync(join(tmpdir(), 'lingxi-launcher-'));
  cpSync(join(ROOT, 'bin'), join(app, 'bin'), { recursive: true });
  writeFileSync(join(app, 'package.json'), '{"type":"module"}');
  mkdirSync(join(app, 'dist/program'), { recursive: true });
  writeFileSync(join(app, 'dist/program/main.js'), PROGRAM);
  mkdirSync(join(app, 'node_modules'));
  for (const name of ['dotenv', 'bun', '@oven']) {
    symlinkSync(join(ROOT, 'node_modules', name), join(app, 'node_modules', name));
  }
});

afterAll(() => {
  rmSync(app, { recursive: true, force: true });
});

function launch(argv: readonly string[], env: Record<string, string> = {}, folder = app) {
  const ran = spawnSync(process.execPath, [join(app, 'bin/lingxi.js'), ...argv], {
    cwd: folder,
    env: { PATH: '/usr/bin:/bin', ...env },
    encoding: 'utf8',
  });
  return { out: ran.stdout.trim(), error: ran.stderr.trim(), code: ran.status };
}

function inFolder(file: string, text: string): string {
  const folder = mkdtempSync(join(app, 'cwd-'));
  writeFileSync(join(folder, file), text);
  return folder;
}

describe('bin/lingxi.js', () => {
  it('[contract 2] serves on Bun if it is installed', () => {
    expect(launch(['serve'])).toEqual({ out: '{"bun":true,"argv":["serve"]}', error: '', code: 0 });
  });

  it('serves on a Bun that does not know an option of its engine', () => {
    const launcher = join(app, 'bin/lingxi.js');
    const text = readFileSync(launcher, 'utf8');
    writeFileSync(launcher, text.replace('BUN_JSC_threshold', 'BUN_JSC_unknown'));
    const ran = launch(['serve']);
    writeFileSync(launcher, text);
    expect(ran.error).toContain('BUN_JSC_unknown');
    expect(ran).toMatchObject({ out: '{"bun":true,"argv":["serve"]}', code: 0 });
  });

  it("lets Bun report once what is wrong with the user's own option", () => {
    const { out, error, code } = launch(['serve'], { BUN_JSC_nonsense: '1' });
    expect([out, code, error.split('BUN_JSC_nonsense').length - 1]).toEqual(['', 1, 1]);
  });

  it('starts a program that fails only once', () => {
    const program = join(app, 'dist/program/main.js');
    writeFileSync(program, `${PROGRAM} console.log('begun'); process.exitCode = 1;`);
    const ran = launch(['serve']);
    writeFileSync(program, PROGRAM);
    expect(ran).toEqual({ out: 'begun\n{"bun":true,"argv":["serve"]}', error: '', code: 1 });
  });

  it('[contract 2] LINGXI_RUNTIME chooses, from the environment, .env or the file', () => {
    const onNode = '{"bun":false,"argv":["serve"]}';
    expect(launch(['serve'], { LINGXI_RUNTIME: 'node' }).out).toBe(onNode);
    expect(launch(['serve'], {}, inFolder('.env', 'LINGXI_RUNTIME=node\n')).out).toBe(onNode);
    const folder = inFolder('c.json', '{"LINGXI_RUNTIME":"node"}');
    expect(launch(['serve'], { LINGXI_CONFIG: 'c.json' }, folder).out).toBe(onNode);
  });

  it('runs every other command in Node, at once', () => {
    expect(launch(['token', '--user', '1']).out).toBe('{"bun":false,"argv":["token","--user","1"]}');
    expect(launch(['serve', '--help']).out).toBe('{"bun":false,"argv":["serve","--help"]}');
  });

  it('LINGXI_RUNTIME=bun without Bun prints one sentence', () => {
    rmSync(join(app, 'node_modules/bun'));
    rmSync(join(app, 'node_modules/@oven'));
    const ran = launch(['serve'], { LINGXI_RUNTIME: 'bun', PATH: join(app, 'nothing') });
    expect(ran).toEqual({
      out: '',
      error:
        'LINGXI_RUNTIME is bun, but Bun was not found: install it with "npm i -D bun", or set LINGXI_RUNTIME=node.',
      code: 1,
    });
    expect(launch(['serve'], { PATH: join(app, 'nothing') }).out).toBe('{"bun":false,"argv":["serve"]}');
  });

  it('says what to do if nothing is built', () => {
    rmSync(join(app, 'dist'), { recursive: true });
    expect(launch(['serve'])).toEqual({
      out: '',
      error: 'Lingxi is not built yet: run "npm run build" first.',
      code: 1,
    });
  });
});
