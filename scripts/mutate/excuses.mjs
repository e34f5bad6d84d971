// Mutants that no test could notice, each with the reason.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const FILE = 'test/mutants/equivalent.json';

/** Separates the mutants to play from the excused ones. Throws if an excuse no longer matches a mutant. */
export function excuse(root, mutants) {
  const excuses = readExcuses(root);
  const keyOf = ({ file, from, to }) => JSON.stringify([file, from, to]);
  const files = new Set(mutants.map(({ file }) => file));
  const known = new Set(mutants.map(keyOf));
  const stale = excuses.filter((entry) => files.has(entry.file) && !known.has(keyOf(entry)));
  if (stale.length > 0) {
    const lines = stale.map(({ file, from, to }) => `  ${file}: ${from}  =>  ${to}`);
    throw new Error(`${FILE} excuses what is no mutant any more:\n${lines.join('\n')}`);
  }
  const excused = new Set(excuses.map(keyOf));
  return {
    toPlay: mutants.filter((mutant) => !excused.has(keyOf(mutant))),
    excused: mutants.filter((mutant) => excused.has(keyOf(mutant))),
  };
}

function readExcuses(root) {
  let text;
  try {
    text = readFileSync(join(root, FILE), 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') return [];
    throw error;
  }
  const excuses = JSON.parse(text);
  for (const entry of excuses) {
    const isWhole = ['file', 'from', 'to', 'reason'].every(
      (name) => typeof entry[name] === 'string' && entry[name] !== '',
    );
    if (!isWhole)
      throw new Error(`${FILE}: each entry needs file, from, to and reason: ${JSON.stringify(entry)}`);
  }
  return excuses;
}
