// Puts the program of bin/lingxi.js and its packages into a few files: dist/program. If a start reads hundreds of small modules,
// it spends three quarters of its time on finding and reading them.
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = join(root, 'dist');
const program = join(dist, 'program');

/** Native code, and modules that are only tried. */
const OUTSIDE = ['libsql', 'pg-native', 'bufferutil', 'utf-8-validate'];

/** CommonJS modules load Node's own modules by `require`. */
const REQUIRE =
  "import { createRequire as makeRequire__ } from 'node:module'; const require = makeRequire__(import.meta.url);";

export async function bundleProgram() {
  const { metafile } = await build({
    entryPoints: [join(dist, 'cli/main.js')],
    outdir: program,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    external: OUTSIDE,
    banner: { js: REQUIRE },
    legalComments: 'none',
    logLevel: 'warning',
    metafile: true,
    absWorkingDir: root,
    plugins: [ownAddresses, oneLanguage],
  });
  writeFileSync(join(program, 'LICENSES.txt'), licensesOf(Object.keys(metafile.inputs)));
}

/**
 * A module of ours finds its files (scripts, pages, package.json) relative to its own address, so that address must not change.
 */
const ownAddresses = {
  name: 'own-addresses',
  setup(bundler) {
    bundler.onLoad({ filter: /\.js$/ }, ({ path }) => {
      if (!path.startsWith(dist + sep)) return undefined;
      const text = readFileSync(path, 'utf8');
      if (!text.includes('import.meta.url')) return undefined;
      const own = `new URL(${JSON.stringify(relative(program, path).replaceAll(sep, '/'))}, import.meta.url).href`;
      return { contents: text.replaceAll('import.meta.url', own), resolveDir: dirname(path) };
    });
  },
};

/** The texts of zod in fifty languages are an eighth of the program. Only the English ones are used. */
const oneLanguage = {
  name: 'one-language',
  setup(bundler) {
    bundler.onLoad({ filter: /[\\/]zod[\\/]v4[\\/]locales[\\/]index\.js$/ }, ({ path }) => ({
      contents: "export { default as en } from './en.js';",
      resolveDir: dirname(path),
    }));
  },
};

/** The licence of every package that is part of the bundle. */
function licensesOf(inputs) {
  const folders = new Set(inputs.flatMap((path) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path) ?? []));
  const parts = [...folders]
    .toSorted((one, other) => one.localeCompare(other, 'en'))
    .map((folder) => {
      const { name, version, license } = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'));
      const files = ['LICENSE', 'LICENSE.md', 'LICENSE.txt', 'license', 'LICENCE', 'license.md'];
      const text = files.map((file) => textOf(join(root, folder, file))).find((found) => found !== undefined);
      return `${name} ${version} (${license})\n\n${text ?? ''}`;
    });
  return parts.join('\n----\n\n');
}

function textOf(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
