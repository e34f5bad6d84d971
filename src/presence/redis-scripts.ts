import { readFileSync } from 'node:fs';

/** The scripts of this room, each with the common prelude before it. Redis knows them by hash after their first run. */
export const SCRIPT_NAMES = [
  'renew',
  'claim',
  'record',
  'withdraw',
  'unstated',
  'end',
  'reap',
  'read',
  'acknowledge',
  'nodes',
] as const;

export type ScriptName = (typeof SCRIPT_NAMES)[number];

export function loadScripts(): Readonly<Record<ScriptName, string>> {
  const prelude = readScript('prelude');
  return Object.fromEntries(SCRIPT_NAMES.map((name) => [name, `${prelude}\n${readScript(name)}`])) as Record<
    ScriptName,
    string
  >;
}

function readScript(name: string): string {
  return readFileSync(new URL(`./scripts/${name}.lua`, import.meta.url), 'utf8');
}
