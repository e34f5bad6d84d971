import { KNOWN } from './known.mjs';

// The colour codes of a terminal. The pattern must not contain the control character itself.
const COLOUR = new RegExp(`${String.fromCharCode(27)}\\[[\\d;]*[A-Za-z]`, 'g');
/** The form in which a test prints a figure. If no known figure matches such a line, known.mjs has a gap. */
const PRINTED = /^(figure: |\[scenario \d+\] \S)/;

/** The contents of a log: the lines of each known figure by its id, and the printed figures that are not known. */
export function figuresIn(log) {
  const found = new Map();
  const unknown = [];
  let open;
  for (const raw of log.replace(COLOUR, '').split(/\r?\n/)) {
    const text = raw.trim();
    if (open === undefined) {
      const known = KNOWN.find(({ line, first }) => (line ?? first).test(text));
      if (known?.line !== undefined) add(found, known.id, [text]);
      else if (known !== undefined) open = { known, lines: [raw.trimEnd()] };
      else if (PRINTED.test(text)) unknown.push(text);
      continue;
    }
    open.lines.push(raw.trimEnd());
    if (!open.known.last.test(text)) continue;
    add(found, open.known.id, open.lines);
    open = undefined;
  }
  return { found, unknown };
}

function add(found, id, lines) {
  const before = found.get(id) ?? [];
  found.set(id, [...before, ...lines]);
}
