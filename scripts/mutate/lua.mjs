// The one-line mutants of a Lua script. Each is one edit: the text from `start` to `end` becomes `text`.

/** Comments and texts come first, so that nothing inside them counts as code. */
const TOKEN =
  /--[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|[A-Za-z_][\w.]*|\d+(?:\.\d+)?|[<>=~]=|\.\.\.?|[-+*/%<>=#^(){}[\],;:.]/g;

const SWAPS = new Map([
  ['<', '<='],
  ['<=', '<'],
  ['>', '>='],
  ['>=', '>'],
  ['==', '~='],
  ['~=', '=='],
  ['and', 'or'],
  ['or', 'and'],
  ['true', 'false'],
  ['false', 'true'],
  ['math.min', 'math.max'],
  ['math.max', 'math.min'],
]);
const CONSTANT = /^[A-Z][A-Z0-9]*_MS$/;
/** A line that is a whole statement. It declares no name for later lines, and opens or ends no block. */
const STATEMENT =
  /^\s*(?:[\w.]+(?:\[[^\]]+\])?(?:, [\w.]+)* = .+|[\w.]+\(.*\)|if .* then .* end|return\b.*)$/;

export function mutateLua(source) {
  return [...tokenEdits(source), ...lineEdits(source)];
}

function tokenEdits(source) {
  const tokens = [...source.matchAll(TOKEN)].filter(([text]) => !text.startsWith('--'));
  return tokens.flatMap(({ 0: text, index: start }, at) => {
    const end = start + text.length;
    const before = tokens[at - 1]?.[0] ?? '';
    return otherTokens(text, before, tokens[at + 1]?.[0] ?? '').map((other) => ({ start, end, text: other }));
  });
}

function otherTokens(text, before, after) {
  const swap = SWAPS.get(text);
  if (swap !== undefined) return [swap];
  if (text === 'not') return [''];
  // After an operand it is an operator, otherwise a sign.
  if (text === '+') return ['-'];
  if (text === '-') return /[\w)\]]$/.test(before) && before !== 'return' ? ['+'] : [];
  if (/^\d/.test(text)) return otherNumbers(Number(text)).map(String);
  if (CONSTANT.test(text) && after !== '=' && after !== ',') return [`(${text} * 2)`];
  return [];
}

/** Small numbers count things: one more or less. Larger numbers measure: twice and half as much. */
function otherNumbers(value) {
  if (value === 0) return [1];
  if (value === 1) return [0, 2];
  return value <= 10 ? [value + 1, value - 1] : [value * 2, Math.floor(value / 2)];
}

function lineEdits(source) {
  let start = 0;
  const edits = [];
  for (const line of source.split('\n')) {
    const [code = ''] = line.split(' -- ');
    if (STATEMENT.test(code) && isBalanced(code)) edits.push({ start, end: start + line.length, text: '' });
    start += line.length + 1;
  }
  return edits;
}

/** Whether the line closes each bracket that it opens. Otherwise it is only a part of a statement. */
function isBalanced(line) {
  const bare = line.replace(/'(?:\\.|[^'\\])*'/g, '');
  return ['()', '{}', '[]'].every(([open, close]) => bare.split(open).length === bare.split(close).length);
}
