import { History } from './history.ts';
Error.stackTraceLimit = 0;
const [seed, from, to, faults, trace] = process.argv.slice(2);
for (let history = Number(from); history < Number(to); history += 1) {
  const lines: string[] = [];
  const report = await new History({ seed: Number(seed), history, faults: (faults ?? '').split(',') as never, ...(trace ? { trace: lines } : {}) }).run();
  if (report.violations.length > 0 || trace) process.stdout.write(`${lines.join('\n')}\n${history}: ${report.violations[0]}\n`);
}
