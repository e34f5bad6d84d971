import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { WebSocketServer } from 'ws';
import { type Chromium, startChromium } from '../support/chromium.ts';
import { fetchedChromium } from '../support/chromium-binary.ts';

/** Libraries that every program of the machine loads, including the modules that look up host and user names. */
const C_LIBRARY = /^(ld-linux.*|lib(c|m|dl|rt|pthread|resolv|gcc_s|stdc\+\+|nss_\w+))\.so/;

/** The process `pid` and its descendants. */
function familyOf(pid: number): readonly number[] {
  const parents = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        // The name of the program is in brackets and may contain any character.
        const [, rest = ''] = readFileSync(`/proc/${name}/stat`, 'utf8').split(/\) (?!.*\) )/);
        return [{ pid: Number(name), parent: Number(rest.split(' ')[1]) }];
      } catch {
        // The process has ended meanwhile.
        return [];
      }
    });
  const family = [pid];
  for (const member of family)
    family.push(...parents.filter(({ parent }) => parent === member).map((child) => child.pid));
  return family;
}

/** The shared libraries that a process has mapped. */
function librariesOf(pid: number): readonly string[] {
  const paths = readFileSync(`/proc/${pid}/maps`, 'utf8').matchAll(/ (\/.*\.so[.\d]*)$/gm);
  return [...paths].map(([, path = '']) => path);
}

describe('the Chromium that the tests fetch if there is none', () => {
  let chromium: Chromium;
  let root: string;
  beforeAll(async () => {
    const binary = await fetchedChromium();
    root = binary.command.replace(/usr\/lib\/chromium\/chromium$/, '');
    chromium = await startChromium(binary);
  }, 1_800_000);
  afterAll(() => chromium?.stop());

  it('opens a page with a WebSocket and draws text, with no library of the machine except those of C', async () => {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    server.on('connection', (socket) => socket.on('message', (text) => socket.send(`echo ${String(text)}`)));
    await new Promise((resolve) => server.once('listening', resolve));
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port was given');
    try {
      const page = await chromium.tabs.newPage();
      await page.setContent('<p style="display: inline-block">Cultivation 灵力</p>');
      const answer = await page.evaluate(
        `new Promise((resolve, reject) => {
          const socket = new WebSocket('ws://127.0.0.1:${address.port}');
          socket.onopen = () => socket.send('hello');
          socket.onmessage = ({ data }) => resolve(data);
          socket.onerror = reject;
        })`,
      );
      expect(answer).toBe('echo hello');
      expect((await page.screenshot()).length).toBeGreaterThan(1_000);
      const width = await page.evaluate('document.querySelector("p").getBoundingClientRect().width');
      expect(width).toBeGreaterThan(50);
      const session = await chromium.tabs.newCDPSession(page);
      const { root: top } = await session.send('DOM.getDocument');
      const { nodeId } = await session.send('DOM.querySelector', { nodeId: top.nodeId, selector: 'p' });
      await session.send('CSS.enable');
      const { fonts } = await session.send('CSS.getPlatformFontsForNode', { nodeId });
      expect(fonts.map(({ familyName }) => familyName).toSorted()).toEqual([
        'DejaVu Sans',
        'Droid Sans Fallback',
      ]);

      const family = familyOf(chromium.pid);
      expect(family.length).toBeGreaterThan(2);
      const foreign = family
        .flatMap(librariesOf)
        .filter((path) => !path.startsWith(root) && !C_LIBRARY.test(path.replace(/.*\//, '')));
      expect([...new Set(foreign)]).toEqual([]);
    } finally {
      server.close();
    }
  });
});

describe('a fetch of Chromium that fails', () => {
  const folder = mkdtempSync(join(tmpdir(), 'lingxi-fetch-'));
  const root = join(folder, 'chromium');
  beforeEach(() => {
    // The remains of a run that was killed in the middle.
    mkdirSync(`${root}.lock`);
    writeFileSync(`${root}.lock/pid`, '999999999');
    mkdirSync(`${root}.part/root`, { recursive: true });
  });
  afterEach(() => {
    vi.unstubAllEnvs();
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('names the command that installs it if there is no apt-get', async () => {
    vi.stubEnv('PATH', '');
    await expect(fetchedChromium(root)).rejects.toThrow(
      /apt-get install chromium.* on Debian.*brew install.* on macOS.*neither Debian nor Ubuntu/,
    );
    expect(existsSync(`${root}.lock`)).toBe(false);
  });

  it('names the same command and quotes apt if there is no network, and leaves nothing behind', async () => {
    for (const name of ['http_proxy', 'https_proxy']) vi.stubEnv(name, 'http://127.0.0.1:1');
    await expect(fetchedChromium(root)).rejects.toThrow(
      /apt-get install chromium[^]*Fetching Debian's failed/,
    );
    expect(readdirSync(folder)).toEqual([]);
  });
});
