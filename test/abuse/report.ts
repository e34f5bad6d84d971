import type { AttackReport } from '../support/fuzz/attack.ts';
import { findingLines } from '../support/fuzz/finding-lines.ts';
import type { Holdings } from '../support/fuzz/leaks.ts';
import type { RunReport, RunSettings } from '../support/fuzz/run.ts';

/** What was sent, how it was answered, what was held, and what was found. */
export function reportLines(report: RunReport, settings: RunSettings): readonly string[] {
  const found = report.findings.length + report.leaks.length;
  return [
    `${report.runtime}, seed ${settings.seed}`,
    ...report.attacks.flatMap(attackLines),
    `  worst wait of the witness ${Math.round(report.worstMs)} ms (limit ${settings.stallMs}); started again ${report.restarts} times`,
    `  before: ${holdings(report.before)}`,
    `  after:  ${holdings(report.after)}`,
    ...report.findings.flatMap((finding) => findingLines(finding, settings)),
    ...report.leaks.map((leak) => `FOUND leak: ${leak}`),
    found === 0 ? `${report.runtime}: nothing found` : `${report.runtime}: ${found} findings`,
  ];
}

function attackLines(attack: AttackReport): readonly string[] {
  const answers = [...attack.answers].sort(([, left], [, right]) => right - left);
  const rate = Math.round(attack.units / attack.seconds);
  return [
    `  ${attack.kind}: ${attack.units} in ${attack.cases} cases, ${attack.seconds.toFixed(0)} s (${rate} a second)${attack.gaveUp ? ', GIVEN UP after too many troubles' : ''}`,
    `    ${answers.map(([answer, count]) => `${answer} × ${count}`).join(', ')}`,
    ...attack.unrepeated.map(({ detail }) => `    once, and not when played again: ${detail}`),
  ];
}

function holdings(held: Holdings): string {
  const heap = held.heapMb === undefined ? '' : `, heap ${held.heapMb} MB`;
  const descriptors = `${held.descriptors ?? 'unknown'} descriptors, ${held.connections} connections`;
  return `${descriptors}, ${held.residentMb ?? 'unknown'} MB in RAM${heap}`;
}
