import { readFileSync } from 'node:fs';
import { wireHeader } from './wire-header.ts';

/** The scripts of presence. Redis knows them by hash after their first run. */
export const SCRIPT_NAMES = [
  'renew',
  'claim',
  'record',
  'withdraw',
  'unstated',
  'end',
  'groups',
  'reap',
  'read',
  'knows',
  'acknowledge',
  'nodes',
  'route',
  'tell',
] as const;

export type ScriptName = (typeof SCRIPT_NAMES)[number];

export function loadScripts(): Readonly<Record<ScriptName, string>> {
  const prelude = `${wireHeader()}${readScript('prelude')}`;
  const entries = SCRIPT_NAMES.map((name) => [name, wholeScript(prelude, readScript(name))]);
  return Object.fromEntries(entries) as Record<ScriptName, string>;
}

/** A script notes changes of sets, which are made at its end, on every way out of it. */
function wholeScript(prelude: string, body: string): string {
  return `${prelude}\nlocal function main()\n${body}\nend\nlocal answer = main()\nsettle_members()\nreturn answer\n`;
}

function readScript(name: string): string {
  return readFileSync(new URL(`./scripts/${name}.lua`, import.meta.url), 'utf8');
}
