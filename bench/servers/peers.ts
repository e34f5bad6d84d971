import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findExecutable } from '../../test/support/cache.ts';
import { type Helper, startHelper } from '../commands.ts';
import type { Subject } from '../report/rows.ts';
import { BUN } from './processes.ts';

/** The servers that Lingxi is compared with in the same run. */
export type Peer = Extract<Subject, 'floor' | 'bun' | 'ws' | 'socket.io'>;

export interface PeerAnswer {
  readonly port: number;
  readonly connections: number;
  /** Frames that clients sent. */
  readonly received: number;
  /** Messages that this command sent. */
  readonly sent: number;
  readonly ms: number;
  readonly cpuMs: number;
  readonly totalCpuMs: number;
  readonly rssBytes: number;
}

/** The commands of floor.c and peers/server.mjs. */
export interface PeerCommands extends Readonly<Record<string, (args: never) => unknown>> {
  port: (args: object) => PeerAnswer;
  random: (args: { readonly seconds: number }) => PeerAnswer;
  broadcast: (args: { readonly times: number; readonly everyMs: number }) => PeerAnswer;
}

const FOLDER = fileURLToPath(new URL('../peers/', import.meta.url));
const FLOOR = fileURLToPath(new URL('floor.c', import.meta.url));

export interface PreparedPeers {
  readonly peers: readonly Peer[];
  /** Why others are missing, each as a sentence. */
  readonly missing: readonly string[];
}

/**
 * Finds which peers can run here. Fetches the npm packages into bench/peers once, and reports that by `announce`. A quick run has
 * only the floor.
 */
export function preparePeers(isQuick: boolean, announce: (line: string) => void): PreparedPeers {
  const peers: Peer[] = [];
  const missing: string[] = [];
  if (process.platform !== 'linux') missing.push('The floor needs Linux: its column is missing.');
  else if (compiler() === undefined)
    missing.push(
      'No C compiler was found, so the floor is missing: install cc, or name one in the variable CC.',
    );
  else peers.push('floor');
  if (isQuick) return { peers, missing };
  peers.push('bun');
  const failure = fetchPackages(announce);
  if (failure === undefined) peers.push('ws', 'socket.io');
  else missing.push(failure);
  return { peers, missing };
}

/** Runs `work` with a new server. */
export async function withPeer<T>(
  peer: Peer,
  work: (server: Helper<PeerCommands>) => Promise<T>,
): Promise<T> {
  const server = peer === 'floor' ? startFloor() : startEngine(peer);
  try {
    return await work(server);
  } finally {
    await server.stop();
  }
}

function startEngine(peer: Exclude<Peer, 'floor'>): Helper<PeerCommands> {
  const program = join(FOLDER, 'server.mjs');
  const command = peer === 'bun' ? [BUN, '--no-env-file', program, peer] : [process.execPath, program, peer];
  return startHelper<PeerCommands>(`the server on ${peer}`, command, { cwd: FOLDER });
}

/** A program in C that makes only the system calls. */
function startFloor(): Helper<PeerCommands> {
  const folder = mkdtempSync(join(tmpdir(), 'lingxi-floor-'));
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  try {
    const program = join(folder, 'floor');
    const { status, stderr } = spawnSync(compiler() ?? 'cc', ['-O2', '-o', program, FLOOR], {
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(`the floor does not compile: ${stderr}`);
    // Bash starts the program and removes its file, so that nothing stays if the bench is killed.
    return startHelper<PeerCommands>('the floor', [
      ...['/bin/sh', '-c', 'exec 3<"$0"; rm -rf -- "$1"; exec /proc/self/fd/3', program, folder],
    ]);
  } catch (error) {
    remove();
    throw error;
  }
}

function compiler(): string | undefined {
  const named = process.env['CC'];
  if (named === undefined || named === '') return findExecutable('cc') ?? findExecutable('gcc');
  return findExecutable(named) ?? (existsSync(named) ? named : undefined);
}

/** Returns why they could not be fetched. */
function fetchPackages(announce: (line: string) => void): string | undefined {
  const isThere = ['ws', 'socket.io'].every((name) =>
    existsSync(join(FOLDER, 'node_modules', name, 'package.json')),
  );
  if (isThere) return undefined;
  announce('Fetching ws and Socket.IO into bench/peers, to compare with. Nothing else uses them.');
  const { status, stderr, error } = spawnSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], {
    ...{ cwd: FOLDER, encoding: 'utf8', timeout: 120_000 },
  });
  if (status === 0) return undefined;
  const [reason = ''] = (error?.message ?? stderr).trim().split('\n');
  return `ws and Socket.IO could not be fetched, so their columns are missing (${reason}): run "npm ci" in bench/peers.`;
}
