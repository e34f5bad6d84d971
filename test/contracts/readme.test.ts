import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { REPOSITORY } from '../support/cache.ts';
import { run, startChild } from '../support/child.ts';
import { type Gateway, startGateway } from '../support/gateway-process.ts';
import { eventually, freePort } from '../support/ports.ts';
import { createProgramFolder, type ProgramFolder } from '../support/program.ts';

const PAGES = ['README.md', 'README.zh-CN.md'];
const LINGXI = join(REPOSITORY, 'bin/lingxi.js');
const USER = 1;

/** The code blocks of one language, in order. */
function blocks(page: string, kind: string): readonly string[] {
  const text = readFileSync(join(REPOSITORY, page), 'utf8');
  return [...text.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].flatMap(([, name, body = '']) =>
    name === kind ? [body] : [],
  );
}

interface Command {
  readonly line: string;
  /** The output that the page shows. */
  readonly shown: readonly string[];
}

function commandsOf(block: string): readonly Command[] {
  const commands: { line: string; shown: string[] }[] = [];
  for (const line of block.trimEnd().split('\n')) {
    const last = commands.at(-1);
    if (line.startsWith('$ ')) commands.push({ line: line.slice(2), shown: [] });
    else if (last?.line.endsWith('\\')) last.line = `${last.line.slice(0, -1)}${line.trim()}`;
    else last?.shown.push(line);
  }
  return commands;
}

/** The page uses `localhost:3000` and `npx lingxi`. The test uses another port, and calls the program itself. */
function adapted(text: string, port: number): string {
  return text
    .replaceAll('npx lingxi', `"${process.execPath}" "${LINGXI}"`)
    .replaceAll('localhost:3000', `127.0.0.1:${port}`)
    .replaceAll('port: 3000', `port: ${port}`);
}

/** Removes the parts of lines that differ each time: times and ports. Of JSON, only the types of the values remain. */
function shapes(lines: readonly string[]): readonly unknown[] {
  return lines.map((line) => {
    const at = line.search(/[[{]/);
    const words = (at < 0 ? line : line.slice(0, at))
      .replace(/[\d:]+\.\d{3}/, 'time')
      .replace(/(localhost|127\.0\.0\.1):\d+/, 'host');
    return at < 0 ? words : [words, shapeOf(JSON.parse(line.slice(at)), '')];
  });
}

const SHOWN_EXACTLY = ['type', 'status', 'userId', 'connections', 'onlineCount', 'written'];

function shapeOf(value: unknown, name: string): unknown {
  if (Array.isArray(value)) return value.map((item) => shapeOf(item, name));
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, shapeOf(item, key)]));
  return SHOWN_EXACTLY.includes(name) ? value : typeof value;
}

let folder: ProgramFolder;
beforeAll(() => {
  folder = createProgramFolder();
});
afterAll(() => folder?.remove());

describe.each(['bun', 'node'] as const)('what the pages show, on %s', { timeout: 90_000 }, (runtime) => {
  let gateway: Gateway;
  beforeAll(async () => {
    // As with `npm start`: its own secrets, in the folder `data`.
    const env = { JWT_SECRET: undefined, LINGXI_API_KEY: undefined, LINGXI_DATA_DIR: undefined };
    gateway = await startGateway({ runtime, stores: 'embedded', env });
  });
  afterAll(() => gateway?.stop());

  const shell = (line: string) => ({
    args: ['-c', adapted(line, gateway.port())],
    // The commands find the server by PORT.
    options: {
      cwd: gateway.dataDir,
      env: { PATH: process.env['PATH'] ?? '', PORT: String(gateway.port()), HOST: '127.0.0.1' },
    },
  });
  const ask = (line: string): Promise<string> => {
    const { args, options } = shell(line);
    return run('/bin/sh', args, options);
  };

  it.each(PAGES)('%s: the commands print the shown output', async (page) => {
    const [probe, ...others] = blocks(page, 'console').flatMap(commandsOf);
    expect(probe?.line).toContain('lingxi probe');
    expect(others.length).toBeGreaterThan(1);
    const { args, options } = shell(`exec ${probe?.line}`);
    const probing = startChild('/bin/sh', args, options);
    try {
      const shown = probe?.shown ?? [];
      await eventually(() => {
        const lines = probing
          .output()
          .split('\n')
          .filter((line) => line !== '');
        // The welcome may arrive with the answer to the handshake or after it, so either line may be first.
        expect(lines.length).toBeGreaterThanOrEqual(shown.length);
        expect(shapes(lines.slice(0, shown.length))).toEqual(expect.arrayContaining([...shapes(shown)]));
      });
      for (const { line, shown: answer } of others)
        expect(shapes((await ask(line)).trimEnd().split('\n')), line).toEqual(shapes(answer));
    } finally {
      probing.signalGroup('SIGKILL');
      await probing.exited;
    }
  });

  it.each(PAGES)(
    '%s: the clients connect, print their messages, and stay away after a logout',
    async (page) => {
      const clients = blocks(page, 'js').filter((text) => text.includes('function play('));
      expect(clients).toHaveLength(2);
      const token = (await ask(`npx lingxi token --user ${USER}`)).trim();
      const key = readFileSync(join(gateway.dataDir, 'data/api-key'), 'utf8').trim();
      const post = (path: string, body: unknown) =>
        gateway.call('POST', path, { body, headers: { authorization: `Bearer ${key}` } });
      for (const client of clients) {
        const child = folder.start('node', played(client, gateway.port(), token));
        await eventually(async () => {
          const sent = await post('/api/messages', { to: { userId: USER }, type: 'note', data: 7 });
          expect(sent.body['counts']).toEqual({ written: 1 });
        });
        await eventually(() => expect(child.output()).toMatch(/type: 'note'|^note 7$/m));
        await post('/api/online/logout', { playerId: USER });
        expect((await child.exited).code, child.output()).toBe(0);
        if (client.includes('?token=')) expect(child.output()).toContain('closed 4000');
        else
          expect(child.output()).toMatch(
            /^open (?:connected|resumed)\nwelcome \{[^]*^note 7\nclosed logout$/m,
          );
      }
    },
  );

  it.concurrent.each(PAGES)('%s: the library starts, sends and stops', async (page) => {
    const examples = blocks(page, 'js').filter((text) => text.includes('createGateway'));
    expect(examples).toHaveLength(1);
    const port = await freePort();
    // A data folder belongs to one process, and this folder is in the working directory.
    const own = createProgramFolder();
    const child = own.start(runtime, adapted(examples[0] ?? '', port));
    expect((await child.exited).code, child.output()).toBe(0);
    own.remove();
    expect(child.output()).toMatch(/"type":"welcome"[\s\S]*"type":"system_notice"[\s\S]*"type":"goodbye"/);
    expect(child.output()).toMatch(/status: ['"]written['"]/);
  });
});

describe.concurrent.each(PAGES)('%s', (page) => {
  it('the clients survive a server that is down: one reports that, the other tries again', async () => {
    const [lingxi = '', seed = ''] = blocks(page, 'js');
    const closed = folder.start('node', played(seed, await freePort(), 'x'));
    let tries = 0;
    const server = createServer((socket) => {
      tries += 1;
      socket.destroy();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const again = folder.start('node', played(lingxi, port, 'x'));
    await eventually(() => expect(tries, again.output()).toBeGreaterThan(1), { timeoutMs: 20_000 });
    again.signalGroup('SIGKILL');
    server.close();
    expect((await closed.exited).code, closed.output()).toBe(0);
    expect(closed.output()).toContain('closed 1006');
  });

  it('only names scripts, commands and variables that exist', async () => {
    const text = readFileSync(join(REPOSITORY, page), 'utf8');
    const { scripts } = JSON.parse(readFileSync(join(REPOSITORY, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };
    const help = await run(process.execPath, [LINGXI, '--help']);
    const named = [...text.matchAll(/npx lingxi ([a-z][a-z-]*)/g)].map(([, name = '']) => name);
    expect(named.length).toBeGreaterThan(3);
    for (const name of named) expect(help).toMatch(new RegExp(`^  ${name}\\b`, 'm'));
    for (const [, name = ''] of text.matchAll(/npm (?:run )?(?!ci\b|run\b)([a-z]+)/g))
      expect(Object.keys(scripts)).toContain(name);
    const exports = blocks(page, 'sh').flatMap((block) => block.match(/^export .*$/gm) ?? []);
    expect(exports).toHaveLength(1);
    await run('/bin/sh', ['-c', `${exports[0]} && "${process.execPath}" "${LINGXI}" check-config`], {
      cwd: folder.path,
      env: { PATH: process.env['PATH'] ?? '' },
    });
  });
});

/** A client from the page, as a program on `ws`. */
function played(client: string, port: number, token: string): string {
  const head = `import { WebSocket } from 'ws';\nglobalThis.WebSocket = WebSocket;\n`;
  return `${head}${adapted(client, port)}\nplay(${JSON.stringify(token)});\n`;
}
