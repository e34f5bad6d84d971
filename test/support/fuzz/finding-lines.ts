import type { Finding } from './attack.ts';
import type { RunSettings } from './run.ts';

/** Parts of an input that are shown. */
const MAX_PARTS = 8;

/** A finding in words, with the command that plays it again. */
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
