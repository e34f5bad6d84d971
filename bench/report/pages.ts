import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { REPOSITORY } from '../../test/support/cache.ts';
import { machineLine } from '../machine.ts';
import type { Report } from '../main.ts';
import { costsOf, modelTable } from './model.ts';
import { svgOf } from './svg.ts';
import { pageTable } from './table.ts';

const PAGE = 'docs/PERFORMANCE.md';
const DATA = 'docs/performance.json';
const PICTURES = 'docs/performance';

/** Writes a complete run into the pages; returns the paths. */
export function writePages(report: Report): readonly string[] {
  const curves = report.measured.flatMap(({ outcome }) => outcome.curves ?? []);
  const folder = join(REPOSITORY, PICTURES);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  for (const { id, title, summary } of curves)
    writeFileSync(join(folder, `${id}.svg`), svgOf(title, summary));
  writeFileSync(join(REPOSITORY, DATA), `${JSON.stringify(report, null, 2)}\n`);
  const page = join(REPOSITORY, PAGE);
  writeFileSync(page, pageWith(readFileSync(page, 'utf8'), report));
  return [PAGE, DATA, PICTURES];
}

/** The page with the results of the run between its marks. */
export function pageWith(page: string, report: Report): string {
  const parts = { table: tablePart(report), histograms: histogramPart(report), model: modelPart(report) };
  return Object.entries(parts).reduce((text, [name, lines]) => replaced(text, name, lines), page);
}

function tablePart({ machine, measured, seconds }: Report): readonly string[] {
  const cells = measured.flatMap(({ outcome }) => outcome.cells ?? []);
  const goals = measured.flatMap(({ outcome }) => outcome.rows.filter(({ goal }) => goal !== undefined));
  const missed = goals.filter(({ met }) => met !== true);
  return [
    `${machine.date}, commit ${machine.commit}, in ${Math.round(seconds)} s: ${machineLine(machine)}. "–": not measured for that server.`,
    '',
    ...pageTable(cells),
    '',
    `${goals.length - missed.length} of ${goals.length} goals met.${missed.length === 0 ? '' : ' Missed:'}`,
    ...(missed.length === 0 ? [] : ['', '| figure | measured | goal |', '| --- | --- | --- |']),
    ...missed.map(({ what, measured: value, goal }) => `| ${what} | ${value} | ${goal ?? ''} |`),
  ];
}

function histogramPart({ measured }: Report): readonly string[] {
  return measured
    .flatMap(({ outcome }) => outcome.curves ?? [])
    .flatMap(({ id, title }, index) => [...(index === 0 ? [] : ['']), `![${title}](performance/${id}.svg)`]);
}

function modelPart({ measured }: Report): readonly string[] {
  const cells = measured.flatMap(({ outcome }) => outcome.cells ?? []);
  return (['lingxi-bun', 'lingxi-node'] as const).flatMap((subject, index) => {
    const logins = costsOf(cells, `${subject}-redis`).login;
    const table = modelTable({ ...costsOf(cells, subject), login: logins });
    return [...(index === 0 ? [] : ['']), `On ${subject === 'lingxi-bun' ? 'Bun' : 'Node'}:`, '', ...table];
  });
}

function replaced(page: string, name: string, lines: readonly string[]): string {
  const [start, end] = [`<!-- bench: ${name} -->`, `<!-- /bench: ${name} -->`];
  const [from, to] = [page.indexOf(start), page.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${PAGE} has no marks of its ${name}: ${start} and ${end}.`);
  return `${page.slice(0, from + start.length)}\n\n${lines.join('\n')}\n\n${page.slice(to)}`;
}
