// `npm start`: builds if the sources are newer than the build, then runs the server as bin/lingxi.js does, in this same process.
//
// npm forwards SIGTERM and SIGINT to its child and waits for its end. So this must be npm's own child, and the script in
// package.json says `exec`. Otherwise the shell between the two would take the signal and end, and the server would keep running.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** How often this process checks whether npm is still there. */
const LOOK_INTERVAL_MS = 200;
const STOP_SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'];

const launcher = new URL('../bin/lingxi.js', import.meta.url);
const npm = process.ppid;

await build();
if (process.env.npm_lifecycle_event !== undefined) drainWithoutNpm();
process.argv = [process.argv[0], fileURLToPath(launcher), 'serve', ...process.argv.slice(2)];
await import(launcher.href);

async function build() {
  const script = fileURLToPath(new URL('build.mjs', import.meta.url));
  const code = await new Promise((resolve) => {
    // Another node may be running from this build, so it must not be replaced without need.
    spawn(process.execPath, [script, '--if-needed'], { stdio: 'inherit' }).on('exit', resolve);
  });
  if (code !== 0) process.exit(code ?? 1);
}

/** SIGHUP and SIGKILL end npm without a message to its child. The child notices that its parent has changed. */
function drainWithoutNpm() {
  const timer = setInterval(() => {
    if (process.ppid === npm) return;
    clearInterval(timer);
    process.kill(process.pid, 'SIGTERM');
  }, LOOK_INTERVAL_MS);
  timer.unref();
  // A second signal would end the drain.
  for (const signal of STOP_SIGNALS) process.once(signal, () => clearInterval(timer));
}
