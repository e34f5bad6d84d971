import { type Cell, SUBJECT_NAMES, SUBJECTS, type Subject } from './rows.ts';

/** The comparison table as rows of texts. The first row is the head. */
export function tableOf(cells: readonly Cell[]): readonly (readonly string[])[] {
  const subjects = SUBJECTS.filter((subject) => cells.some((cell) => cell.subject === subject));
  const lines = [...new Set(cells.map(({ line }) => line))];
  return [
    ['', ...subjects.map((subject) => SUBJECT_NAMES[subject])],
    ...lines.map((line) => [headOf(cells, line), ...subjects.map((subject) => textOf(cells, line, subject))]),
  ];
}

/** The table for a terminal. */
export function terminalTable(cells: readonly Cell[]): readonly string[] {
  const rows = tableOf(cells);
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((text, column) =>
        column === 0 ? text.padEnd(widths[0] ?? 0) : text.padStart(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd(),
  );
}

/** The table for a page. */
export function pageTable(cells: readonly Cell[]): readonly string[] {
  const [head = [], ...rows] = tableOf(cells);
  const line = (texts: readonly string[]): string => `| ${texts.join(' | ')} |`;
  return [line(head), line(head.map((_, column) => (column === 0 ? '---' : '---:'))), ...rows.map(line)];
}

function headOf(cells: readonly Cell[], line: string): string {
  const unit = cells.find((cell) => cell.line === line)?.unit ?? '';
  return unit === '' || unit === '/s' ? line : `${line}, ${unit}`;
}

function textOf(cells: readonly Cell[], line: string, subject: Subject): string {
  const cell = cells.find((each) => each.line === line && each.subject === subject);
  if (cell === undefined) return '–';
  if (!Number.isFinite(cell.value)) return '?';
  return cell.digits === undefined
    ? Math.round(cell.value).toLocaleString('en-US')
    : cell.value.toFixed(cell.digits);
}
