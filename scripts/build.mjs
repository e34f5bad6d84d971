// Compiles src/ into dist/, copies the files that the compiler ignores (the Lua scripts), bundles the program, and builds the
// pages. npm runs it with --if-needed after each install, and so do the tests. With this option a build that is up to date stays.
// A missing compiler is then no fault, because `npm ci --omit=dev` omits it on purpose.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const compiler = join(root, 'node_modules/typescript/bin/tsc');
const dist = join(root, 'dist');
const pages = join(root, 'pages');
/** Copied last: if it exists, everything before it succeeded. */
const lastStep = join(dist, 'presence/store/redis/scripts');
const ifNeeded = process.argv.includes('--if-needed');

if (ifNeeded && isUpToDate()) process.exit(0);
if (existsSync(compiler)) await build();
else {
  process.stderr.write(
    'Lingxi is not built: TypeScript is missing, which is a development dependency. Run "npm ci" without --omit=dev, which builds; "npm prune --omit=dev" then removes what only the build needs.\n',
  );
  process.exitCode = ifNeeded ? 0 : 1;
}

async function build() {
  rmSync(dist, { recursive: true, force: true });
  const compiled = spawnSync(process.execPath, [compiler, '-p', 'tsconfig.build.json'], {
    cwd: root,
    stdio: 'inherit',
  });
  if (compiled.status !== 0) process.exit(compiled.status ?? 1);
  // Not earlier: `npm ci --omit=dev` omits these packages.
  const { bundleProgram } = await import('./bundle.mjs');
  await Promise.all([bundleProgram(), buildPages()]);
  cpSync(join(root, 'src/presence/store/redis/scripts'), lastStep, { recursive: true });
}

/** Each page has a vite.config.ts with its target folder. */
async function buildPages() {
  const { build: buildPage, loadConfigFromFile } = await import('vite');
  const environment = { command: 'build', mode: 'production' };
  for (const name of readdirSync(pages)) {
    const file = join(pages, name, 'vite.config.ts');
    if (!existsSync(file)) continue;
    const loaded = await loadConfigFromFile(environment, file, root, 'warn');
    await buildPage({ ...loaded.config, configFile: false });
  }
}

function isUpToDate() {
  if (!existsSync(lastStep)) return false;
  const folders = ['src', 'pages', 'scripts', 'test/simulation'];
  const inputs = [...folders, 'package.json', 'tsconfig.json', 'tsconfig.build.json'];
  return statSync(lastStep).mtimeMs > Math.max(...inputs.map((input) => newest(join(root, input))));
}

function newest(path) {
  const stats = statSync(path);
  if (!stats.isDirectory()) return stats.mtimeMs;
  return Math.max(stats.mtimeMs, ...readdirSync(path).map((name) => newest(join(path, name))));
}
