import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

export interface SourceFile {
  /** From the root of the repository, with `/`. */
  readonly path: string;
  readonly text: string;
}

/** The files below some folders of the repository whose names end in one of `endings`. */
export function filesOf(folders: readonly string[], endings: readonly string[]): readonly SourceFile[] {
  return folders
    .filter((folder) => existsSync(ROOT + folder))
    .flatMap((folder) =>
      readdirSync(ROOT + folder, { recursive: true, encoding: 'utf8' }).map((name) =>
        posix.join(folder, name.replaceAll('\\', '/')),
      ),
    )
    .filter((path) => endings.some((ending) => path.endsWith(ending)))
    .map((path) => ({ path, text: readFileSync(ROOT + path, 'utf8') }));
}

/** Undefined if there is no such file. */
export function textOf(path: string): string | undefined {
  return existsSync(ROOT + path) ? readFileSync(ROOT + path, 'utf8') : undefined;
}

/** The imports and re-exports of a file: packages by their names, files of the repository by their paths. */
export function importsOf(file: SourceFile): readonly string[] {
  const found = file.text.matchAll(/(?:^|[^\w.])(?:from|import)\s*\(?\s*'([^']+)'/g);
  return [...found].map(([, target = '']) =>
    target.startsWith('.') ? posix.join(posix.dirname(file.path), target) : target,
  );
}
