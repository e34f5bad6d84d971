import {
  ACCEPTED,
  ACKNOWLEDGED,
  ANSWERED,
  CLAIM,
  DUTY,
  END_REQUEST,
  ENDED,
  ENTRY,
  GROUP_STEP,
  HOLD,
  type Kind,
  LAST,
  type Layout,
  LOSS,
  LOST,
  NODE,
  PERIOD,
  REAPED,
  RENEWAL,
  RENEWED,
  ROUTED,
  ROUTED_NODE,
  SEEN_NODE,
  SETTLED,
  STORED,
  USER,
} from './wire.ts';

const PATTERNS: Readonly<Record<Kind, string>> = {
  number: '(%d+)',
  signed: '(%-?%d+)',
  id: '(%d+)',
  text: '([^|]*)',
  words: '([^|]*)',
  optional: '([^|]*)',
};

/**
 * Lua functions that pack and unpack the lists of `wire.ts` by name. They precede the prelude in every script. Each list has its
 * own functions, so that a claim of 500 users runs no loop over names.
 */
export function wireHeader(): string {
  return [
    '-- Generated from the lists in wire.ts. The prelude says what num is.',
    'local num',
    readArray('read_claim', CLAIM),
    readArguments('read_end_request', END_REQUEST),
    width('END_REQUEST', END_REQUEST),
    readArguments('read_period', PERIOD),
    width('PERIOD', PERIOD),
    readArray('read_settled', SETTLED),
    readArguments('read_renewal', RENEWAL),
    width('RENEWAL', RENEWAL),
    readArguments('read_acknowledged', ACKNOWLEDGED),
    width('ACKNOWLEDGED', ACKNOWLEDGED),
    makeArray('renewed_reply', RENEWED),
    makeArray('lost_reply', LOST),
    makeArray('reaped_reply', REAPED),
    makeArray('seen_node_reply', SEEN_NODE),
    makeArray('routed_reply', ROUTED),
    makeArray('routed_node_reply', ROUTED_NODE),
    parseText('parse_node', NODE),
    formatText('format_node', NODE, STORED),
    formatText('format_loss', LOSS, STORED),
    positions('LOSS', LOSS),
    parseText('parse_hold', HOLD),
    formatText('format_hold', HOLD, STORED),
    formatText('format_last', LAST, STORED),
    `local LAST_TIMES = '^${leadingNumbers(LAST)}'`,
    positions('LAST', LAST),
    formatText('format_duty', DUTY, STORED),
    positions('DUTY', DUTY),
    formatText('format_entry', ENTRY, STORED),
    formatText('format_accepted', ACCEPTED, ANSWERED),
    formatText('format_ended', ENDED, ANSWERED),
    formatText('format_group_step', GROUP_STEP, ANSWERED),
    makeArray('user_reply', USER),
    '',
  ].join('\n');
}

function readArray(name: string, list: Layout): string {
  return `local function ${name}(f) return { ${each(list, (field, kind, at) => `${field} = f[${at}]${kind === 'optional' ? " or ''" : ''}`)} } end`;
}

function readArguments(name: string, list: Layout): string {
  const fields = each(list, (field, kind, at) => `${field} = ${converted(kind, `ARGV[from + ${at - 1}]`)}`);
  return `local function ${name}(from) return { ${fields} } end`;
}

/** How many arguments a list takes. */
function width(name: string, list: Layout): string {
  return `local ${name}_WIDTH = ${Object.keys(list).length}`;
}

/** The function returns nil if the text is no such list. */
function parseText(name: string, list: Layout): string {
  const names = luaNames(list);
  const pattern = Object.values(list)
    .map((kind, at) => `${at === 0 ? '' : STORED}${kind === 'optional' ? '?' : ''}${PATTERNS[kind]}`)
    .join('');
  return [
    `local function ${name}(text)`,
    `  local ${names.join(', ')} = string.match(text, '^${pattern}')`,
    `  return ${names[0]} and { ${each(list, (field, kind) => `${field} = ${converted(kind, field)}`)} }`,
    'end',
  ].join('\n');
}

function formatText(name: string, list: Layout, separator: string): string {
  const always = Object.fromEntries(Object.entries(list).filter(([, kind]) => kind !== 'optional'));
  const values = each(always, (field, kind) => (isNumber(kind) ? `num(v.${field})` : `v.${field}`));
  const text = `table.concat({ ${values} }, '${separator}')`;
  const last = luaNames(list).at(-1);
  if (Object.keys(always).length === Object.keys(list).length)
    return `local function ${name}(v) return ${text} end`;
  return [
    `local function ${name}(v)`,
    `  local text = ${text}`,
    `  return v.${last} ~= '' and text .. '${separator}' .. v.${last} or text`,
    'end',
  ].join('\n');
}

function makeArray(name: string, list: Layout): string {
  return `local function ${name}(v) return { ${each(list, (field) => `v.${field}`)} } end`;
}

/** The positions of the fields in a text, for a script that needs one or two of them. */
function positions(name: string, list: Layout): string {
  return `local ${name} = { ${each(list, (field, _, at) => `${field} = ${at}`)} }`;
}

/** The pattern of the numbers with which a list begins. */
function leadingNumbers(list: Layout): string {
  const kinds = Object.values(list);
  const end = kinds.findIndex((kind) => kind !== 'number');
  return kinds
    .slice(0, end)
    .map((kind) => PATTERNS[kind] + STORED)
    .join('');
}

function each(list: Layout, write: (field: string, kind: Kind, at: number) => string): string {
  const names = luaNames(list);
  return Object.values(list)
    .map((kind, index) => write(names[index] ?? '', kind, index + 1))
    .join(', ');
}

function converted(kind: Kind, text: string): string {
  return isNumber(kind) ? `tonumber(${text})` : text;
}

function isNumber(kind: Kind): boolean {
  return kind === 'number' || kind === 'signed';
}

function luaNames(list: Layout): readonly string[] {
  return Object.keys(list).map((name) => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`));
}
