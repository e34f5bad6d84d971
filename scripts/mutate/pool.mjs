// Plays mutants on worker processes. A worker that takes too long is ended together with all its child processes. The same
// happens to every remaining worker when this process ends.
import { fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const WORKER = fileURLToPath(new URL('./worker.mjs', import.meta.url));
/** Longer, because the first run also reads and compiles the tests. */
const START_LIMIT_MS = 120_000;

export class Pool {
  #root;
  #timeLimitMs;
  #workers = new Set();
  /** A killed worker cannot clean up. Its temporary files are in this folder, which is removed. */
  #scratch = mkdtempSync(join(tmpdir(), 'lingxi-mutate-'));

  constructor({ root, timeLimitMs }) {
    this.#root = root;
    this.#timeLimitMs = timeLimitMs;
    process.on('exit', () => this.close());
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
      process.on(signal, () => process.exit(signal === 'SIGINT' ? 130 : 143));
  }

  /**
   * Plays the jobs, each `{ file, groups, mutants }`, on `count` workers; `hear` gets each verdict. Returns why some of them
   * could not be judged.
   */
  async play(jobs, { count, hear }) {
    // Long files come first and in parts, so that at the end no worker runs alone.
    const waiting = jobs.flatMap((job) => parts(job, count));
    const unjudged = new Set();
    const playWaiting = async () => {
      for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) {
        const reason = await this.#playJob(job, hear);
        if (reason !== undefined) unjudged.add(reason);
      }
    };
    await Promise.all(Array.from({ length: Math.min(count, waiting.length) }, playWaiting));
    return [...unjudged];
  }

  close() {
    for (const worker of this.#workers) endGroup(worker);
    this.#workers.clear();
    rmSync(this.#scratch, { recursive: true, force: true, maxRetries: 5 });
  }

  async #playJob(job, hear) {
    let session = await this.#start(job, false);
    const reason = brokenBy(job.file, session);
    if (reason !== undefined) {
      this.#end(session.worker);
      return reason;
    }
    if (session.tests === 0) {
      for (const mutant of job.mutants) hear(mutant, { kind: 'untested' });
      this.#end(session.worker);
      return undefined;
    }
    const limitMs = this.#timeLimitMs ?? 5000 + 5 * session.ms;
    for (const mutant of job.mutants) {
      const answer = await this.#ask(session.worker, { kind: 'mutant', ...mutant }, limitMs);
      if (answer.kind === 'late') {
        hear(mutant, { kind: 'killed', by: `the time limit of ${limitMs} ms` });
        session = { ...session, ...(await this.#start(job, true)) };
      } else {
        hear(
          mutant,
          answer.failure === undefined ? { kind: 'alive' } : { kind: 'killed', by: answer.failure },
        );
      }
    }
    this.#end(session.worker);
    return undefined;
  }

  /** `isKnown`: the tests have already passed without a mutant. */
  async #start({ file, groups }, isKnown) {
    const worker = fork(WORKER, [], {
      detached: true,
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      env: { ...process.env, TMPDIR: this.#scratch, NODE_ENV: 'test' },
    });
    this.#workers.add(worker);
    const answer = await this.#ask(worker, { kind: 'file', file, groups, isKnown }, START_LIMIT_MS);
    return { worker, ...answer };
  }

  /** Sends one message and awaits the answer to it. */
  #ask(worker, message, limitMs) {
    return new Promise((resolve, reject) => {
      const settle = (act) => {
        clearTimeout(timer);
        worker.off('message', hear);
        worker.off('exit', gone);
        act();
      };
      const hear = (answer) => {
        if (answer.kind === 'failed') settle(() => reject(new Error(answer.reason)));
        else settle(() => resolve(answer));
      };
      // A mutant may end the process that tests it.
      const gone = () => settle(() => resolve({ kind: 'late' }));
      const timer = setTimeout(() => {
        settle(() => {
          this.#end(worker);
          resolve({ kind: 'late' });
        });
      }, limitMs);
      worker.on('message', hear);
      worker.on('exit', gone);
      worker.send({ root: this.#root, ...message });
    });
  }

  #end(worker) {
    this.#workers.delete(worker);
    endGroup(worker);
  }
}

/** Why the tests cannot judge; undefined if they can. Without a mutant they must end, and pass. */
function brokenBy(file, { kind, failure }) {
  if (kind === 'late') return `the tests of ${file} do not end without any mutant.`;
  return failure === undefined ? undefined : `the tests of ${file} fail without any mutant: ${failure}.`;
}

function parts({ mutants, ...job }, count) {
  const size = Math.max(10, Math.ceil(mutants.length / count));
  const all = [];
  for (let from = 0; from < mutants.length; from += size)
    all.push({ ...job, mutants: mutants.slice(from, from + size) });
  return all;
}

function endGroup(worker) {
  try {
    process.kill(-worker.pid, 'SIGKILL');
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}
