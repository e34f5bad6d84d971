import { fileURLToPath } from 'node:url';
import type { UserConfig } from 'vite';

const root = fileURLToPath(new URL('..', import.meta.url));

/** How Vite builds the page in `pages/<name>` into `out`, a folder of the repository. */
export function buildPage(name: string, out: string): UserConfig {
  return {
    root: `${root}pages/${name}`,
    // The page works under any path: behind a proxy, or from a folder.
    base: './',
    envDir: false,
    publicDir: false,
    logLevel: 'warn',
    // Otherwise, if NODE_ENV is not `production`, Vite would add each element's place in the source.
    oxc: { jsx: { runtime: 'automatic', importSource: 'preact', development: false } },
    build: {
      outDir: `${root}${out}`,
      emptyOutDir: true,
      target: 'es2022',
      // A Content-Security-Policy without `data:` needs files.
      assetsInlineLimit: 0,
      modulePreload: { polyfill: false },
      reportCompressedSize: false,
    },
  };
}
