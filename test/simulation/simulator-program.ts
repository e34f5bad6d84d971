import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const PROGRAM = fileURLToPath(new URL('../../scripts/simulate.mjs', import.meta.url));
const LONGEST_TRACE_BYTES = 2 ** 26;

/** Runs `npm run simulate` with these arguments. Returns its output and its exit code. */
export function simulate(...args: readonly string[]): Promise<{ output: string; code: number }> {
  const options = { maxBuffer: LONGEST_TRACE_BYTES };
  return promisify(execFile)(process.execPath, [PROGRAM, ...args], options).then(
    ({ stdout }) => ({ output: stdout, code: 0 }),
    ({ stdout, stderr, code }: { stdout: string; stderr: string; code: number }) => ({
      output: `${stdout}${stderr}`,
      code,
    }),
  );
}
