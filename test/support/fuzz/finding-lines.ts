import type { Finding } from './attack.ts';
import type { RunSettings } from './run.ts';

/** Largest number of shown parts of an input. */
const MAX_PARTS = 8;

/** A finding in words, with the command that replays it. */
export function findingLines(finding: Finding, settings: RunSettings): readonly string[] {
  const { kind, trouble, index, seed, parts, times } = finding;
  const again = `npm run abuse -- --runtime ${settings.runtime} --seed ${seed} --kind ${kind} --case ${index}`;
  const more = parts.length > MAX_PARTS ? [`    and ${parts.length - MAX_PARTS} more`] : [];
  return [
    `FOUND ${trouble.what} by ${kind}, seen ${times} times: ${trouble.detail}`,
    ...parts.slice(0, MAX_PARTS).map((part) => `    ${part}`),
    ...more,
    ...(index === undefined ? [] : [`    again: ${again}`]),
  ];
}
