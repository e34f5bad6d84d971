import { KNOWN } from './known.mjs';

// Colours of a terminal; the character itself may not stand in a pattern.
const COLOUR = new RegExp(`${String.fromCharCode(27)}\\[[\\d;]*[A-Za-z]`, 'g');
/** How a test prints a figure: such a line that no known figure takes is a gap in known.mjs. */
const PRINTED = /^(figure: |\[scenario \d+\] \S)/;

/** What a log holds: the lines of each known figure by its id, and printed figures that are not known. */
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
