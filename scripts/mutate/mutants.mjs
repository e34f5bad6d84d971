// The mutants of source files, with the data to find each one: file, line, the line before and after.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { mutateLua } from './lua.mjs';
import { mutateTypescript } from './typescript.mjs';

/** Sources below the given files and folders, as paths from the root. */
export function findSources(root, targets) {
  const found = targets.flatMap((target) => {
    const path = join(root, target);
    if (statSync(path).isFile()) return [path];
    return readdirSync(path, { recursive: true }).map((name) => join(path, name));
  });
  const sources = found.filter((path) => /\.(ts|lua)$/.test(path) && !path.endsWith('.d.ts'));
  const paths = new Set(sources.map((path) => relative(root, path)));
  return [...paths].sort((one, other) => (one < other ? -1 : 1));
}

export function mutantsOf(root, file) {
  const source = readFileSync(join(root, file), 'utf8');
  const edits = file.endsWith('.lua') ? mutateLua(source) : mutateTypescript(source);
  const seen = new Set();
  const mutants = [];
  for (const { start, end, text } of edits.sort((one, other) => one.start - other.start)) {
    const mutated = source.slice(0, start) + text + source.slice(end);
    if (seen.has(mutated) || mutated === source) continue;
    seen.add(mutated);
    mutants.push({
      file,
      line: lineNumber(source, start),
      ...shownLines(source, { start, end, text }),
      mutated,
    });
  }
  return mutants;
}

/** The lines that the edit changes, before and after it, each as one line. */
function shownLines(source, { start, end, text }) {
  const from = source.lastIndexOf('\n', start - 1) + 1;
  const lineEnd = source.indexOf('\n', end);
  const to = lineEnd < 0 ? source.length : lineEnd;
  const asOne = (lines) => lines.trim().replace(/\s*\n\s*/g, ' ');
  return {
    from: asOne(source.slice(from, to)),
    to: asOne(source.slice(from, start) + text + source.slice(end, to)),
  };
}

function lineNumber(source, offset) {
  return source.slice(0, offset).split('\n').length;
}

/** A random sample in the order of the sources. The same seed gives the same sample. */
export function sample(mutants, { limit, seed }) {
  if (limit >= mutants.length) return mutants;
  const random = randomOf(seed);
  const places = mutants.map((_, index) => index);
  for (let index = 0; index < limit; index += 1) {
    const other = index + Math.floor(random() * (places.length - index));
    [places[index], places[other]] = [places[other], places[index]];
  }
  return places
    .slice(0, limit)
    .sort((one, other) => one - other)
    .map((place) => mutants[place]);
}

/** Mulberry32. */
function randomOf(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
