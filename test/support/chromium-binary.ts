import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { CACHE, findExecutable, withLock } from './cache.ts';
import { run } from './child.ts';
import { fetchDebianClosure, libraryPath } from './debian.ts';

/** A Chromium and its environment. */
export interface ChromiumBinary {
  readonly command: string;
  readonly env: NodeJS.ProcessEnv;
}

const ROOT = join(CACHE, 'lingxi-chromium');
const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome'];
/** The second font has Chinese characters, for screenshots. */
const PACKAGES = ['chromium', 'fonts-dejavu-core', 'fonts-droid-fallback'];

/**
 * The family of the C library must be the machine's own: every process has it, and apt itself needs it. The other packages are
 * programs that a page in a test never starts.
 */
const ASSUMED = [
  ...['libc6', 'libgcc-s1', 'libstdc++6'],
  ...['adduser', 'dbus', 'debconf', 'dpkg', 'perl', 'shared-mime-info', 'x11-utils', 'xdg-utils'],
];

/** A fetch over a slow line takes minutes. Other processes that need the same file wait for it. */
const LOCK_TIMEOUT_MS = 1_800_000;

const ADVICE =
  'Install it: "sudo apt-get install chromium" on Debian, "sudo snap install chromium" on Ubuntu, ' +
  '"brew install --cask google-chrome" on macOS, "npx playwright-core install chromium" on any other system.';

/** A Chromium or Chrome of this machine, else Debian's, fetched once without root rights and announced in one line. */
export async function findChromium(): Promise<ChromiumBinary> {
  const command = installed();
  return command === undefined ? fetchedChromium() : { command, env: process.env };
}

function installed(): string | undefined {
  const onPath = NAMES.map((name) => findExecutable(name)).find((found) => found !== undefined);
  return onPath ?? [...usualPlaces(), playwrightsOwn()].find((path) => existsSync(path));
}

/** The places where the installers of macOS and Windows put it, which are not on PATH. */
function usualPlaces(): readonly string[] {
  const { platform, env } = process;
  if (platform === 'darwin')
    return ['Google Chrome', 'Chromium', 'Microsoft Edge'].map(
      (name) => `/Applications/${name}.app/Contents/MacOS/${name}`,
    );
  if (platform !== 'win32') return [];
  const folders = [env['LOCALAPPDATA'], env['PROGRAMFILES'], env['PROGRAMFILES(X86)']];
  const programs = ['Google/Chrome/Application/chrome.exe', 'Microsoft/Edge/Application/msedge.exe'];
  return folders
    .filter((folder) => folder !== undefined)
    .flatMap((folder) => programs.map((program) => join(folder, program)));
}

/** Where "playwright install chromium" would put it; empty on a platform that Playwright does not know. */
function playwrightsOwn(): string {
  try {
    return chromium.executablePath();
  } catch {
    return '';
  }
}

/** Debian's Chromium, from the cache of the tests. */
export async function fetchedChromium(root = ROOT): Promise<ChromiumBinary> {
  if (!existsSync(binaryIn(root).command)) await fetchLocked(root);
  writeFontSettings(root);
  return binaryIn(root);
}

function fetchLocked(root: string): Promise<void> {
  const fetchOnce = async (): Promise<void> => {
    // Another process may have been faster.
    if (existsSync(binaryIn(root).command)) return;
    await fetchDebianClosure(PACKAGES, { target: root, assumed: ASSUMED, verify }).catch((error: unknown) => {
      const cause = error instanceof Error ? error.message : String(error);
      throw new Error(`The tests of pages need Chromium. ${ADVICE} Fetching Debian's failed: ${cause}`);
    });
  };
  return withLock(`${root}.lock`, fetchOnce, LOCK_TIMEOUT_MS);
}

/** If a library is missing, Chromium names it. */
function verify(root: string): Promise<unknown> {
  const { command, env } = binaryIn(root);
  return run(command, ['--version'], { env });
}

function binaryIn(root: string): ChromiumBinary {
  const env = {
    ...process.env,
    LD_LIBRARY_PATH: libraryPath(root),
    FONTCONFIG_FILE: join(root, 'fonts.conf'),
    // Modules of the machine's own GLib would be loaded into another GLib. This folder has none.
    GIO_MODULE_DIR: join(root, 'no-modules'),
  };
  return { command: join(root, 'usr/lib/chromium/chromium'), env };
}

/** Debian's own settings name folders of an installed system. This repository may have moved since they were written. */
function writeFontSettings(root: string): void {
  const cache = join(root, 'font-cache');
  mkdirSync(cache, { recursive: true });
  const text = `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>${join(root, 'usr/share/fonts')}</dir><cachedir>${cache}</cachedir></fontconfig>
`;
  writeFileSync(join(root, 'fonts.conf'), text);
}
