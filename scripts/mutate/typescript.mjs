// The one-line mutants of a TypeScript source. Each is one edit: the text from `start` to `end` becomes `text`.
import { parseAst } from 'vitest/node';

const COMPARISONS = new Map([
  ['<', '<='],
  ['<=', '<'],
  ['>', '>='],
  ['>=', '>'],
  ['===', '!=='],
  ['!==', '==='],
  ['==', '!='],
  ['!=', '=='],
]);
const ARITHMETIC = new Map([
  ['+', '-'],
  ['-', '+'],
  ['*', '/'],
  ['/', '*'],
  ['%', '*'],
]);
const ASSIGNMENTS = new Map([
  ['+=', '-='],
  ['-=', '+='],
  ['??=', '='],
]);
const CONSTANT = /^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$/;
/** Only programming errors break an assertion, so a test of the product cannot notice a missing one. */
const ASSERTION = 'assert';

export function mutateTypescript(source) {
  const program = parseAst(source, { lang: 'ts', astType: 'ts' });
  const edits = [];
  const add = (start, end, text) => edits.push({ start, end, text });
  visit(program, (node, parents) => {
    for (const edit of MUTATIONS[node.type]?.(node, { source, parents, program }) ?? [])
      add(edit.start ?? node.start, edit.end ?? node.end, edit.text);
  });
  return edits;
}

/** Returns `{ start, end, text }`. The default place is that of the node. */
const MUTATIONS = {
  BinaryExpression(node, { source }) {
    const place = operatorPlace(node, source);
    const comparison = COMPARISONS.get(node.operator);
    if (comparison !== undefined) return [{ ...place, text: comparison }];
    const arithmetic = ARITHMETIC.get(node.operator);
    if (arithmetic === undefined || isText(node.left) || isText(node.right)) return [];
    return [{ ...place, text: arithmetic }];
  },
  LogicalExpression(node, { source }) {
    if (node.operator !== '??') {
      return [{ ...operatorPlace(node, source), text: node.operator === '&&' ? '||' : '&&' }];
    }
    const alwaysRight = { end: node.right.start, text: '' };
    // A literal default is often there only for the compiler, as after an index of an array.
    return node.right.type === 'Literal' ? [alwaysRight] : [{ start: node.left.end, text: '' }, alwaysRight];
  },
  UnaryExpression(node, { source }) {
    if (node.operator === '!') return [{ text: textOf(node.argument, source) }];
    if (node.operator === '-') return [{ text: ` ${textOf(node.argument, source)}` }];
    return [];
  },
  UpdateExpression(node, { source }) {
    const other = node.operator === '++' ? '--' : '++';
    return [{ text: textOf(node, source).replace(node.operator, other) }];
  },
  AssignmentExpression(node, { source }) {
    const other = ASSIGNMENTS.get(node.operator);
    return other === undefined ? [] : [{ ...operatorPlace(node, source), text: other }];
  },
  Literal(node) {
    if (typeof node.value === 'boolean') return [{ text: String(!node.value) }];
    if (typeof node.value !== 'number') return [];
    return otherNumbers(node.value).map((value) => ({ text: String(value) }));
  },
  Identifier(node, { parents, program }) {
    const parent = parents.at(-1);
    const isOperand = parent?.type === 'BinaryExpression' || isMathCall(parent);
    // A name that is declared here and used once: the mutants of the declaration cover it.
    if (!CONSTANT.test(node.name) || !isOperand || isDeclaredForOneUse(program, node.name)) return [];
    return [{ text: `(${node.name} * 2)` }];
  },
  MemberExpression(node) {
    const name = node.property.name;
    if (node.object.name !== 'Math' || (name !== 'min' && name !== 'max')) return [];
    return [{ text: `Math.${name === 'min' ? 'max' : 'min'}` }];
  },
  ExpressionStatement(node) {
    const call = node.expression;
    const isBound =
      call.type === 'CallExpression' && (call.callee.type === 'Super' || call.callee.name === ASSERTION);
    return isBound || node.directive !== undefined ? [] : [{ text: ';' }];
  },
  IfStatement(node) {
    const { start, end } = node.test;
    const never = node.alternate === null ? { text: ';' } : { start, end, text: 'false' };
    return [{ start, end, text: 'true' }, never];
  },
  ConditionalExpression(node) {
    const { start, end } = node.test;
    return [
      { start, end, text: 'true' },
      { start, end, text: 'false' },
    ];
  },
  WhileStatement: ({ test: { start, end } }) => [{ start, end, text: 'false' }],
};

function visit(node, enter, parents = []) {
  if (node === null || typeof node !== 'object') return;
  if (Array.isArray(node)) {
    for (const child of node) visit(child, enter, parents);
    return;
  }
  if (typeof node.type !== 'string' || isErased(node)) return;
  enter(node, parents);
  const inside = [...parents, node];
  for (const [name, child] of Object.entries(node)) {
    // An assertion that holds has no effect on the product.
    if (name !== 'parent' && !(node.type === 'CallExpression' && node.callee.name === ASSERTION))
      visit(child, enter, inside);
  }
}

/** Types do not exist at run time. A cast does, because it contains an expression. */
function isErased({ type, importKind, exportKind, declare }) {
  if (importKind === 'type' || exportKind === 'type' || declare === true) return true;
  const isExpression = ['TSAsExpression', 'TSNonNullExpression', 'TSSatisfiesExpression', 'TSTypeAssertion'];
  return type === 'ImportDeclaration' || (type.startsWith('TS') && !isExpression.includes(type));
}

function operatorPlace({ left, right, operator }, source) {
  const start = source.indexOf(operator, left.end);
  if (start < 0 || start >= right.start)
    throw new Error(`no ${operator} in "${source.slice(left.start, right.end)}"`);
  return { start, end: start + operator.length };
}

/** Small numbers count things: one more or less. Larger numbers measure: twice and half as much. */
function otherNumbers(value) {
  if (value === 0) return [1];
  if (value === 1) return [0, 2];
  return value <= 10 || !Number.isInteger(value)
    ? [value + 1, value - 1]
    : [value * 2, Math.floor(value / 2)];
}

function isText({ type, value, left, right, operator }) {
  if (type === 'TemplateLiteral' || typeof value === 'string') return true;
  return type === 'BinaryExpression' && operator === '+' && (isText(left) || isText(right));
}

function isMathCall(node) {
  return node?.type === 'CallExpression' && node.callee.object?.name === 'Math';
}

function isDeclaredForOneUse(program, name) {
  let uses = 0;
  let isDeclared = false;
  visit(program, (node, parents) => {
    if (node.type !== 'Identifier' || node.name !== name) return;
    const parent = parents.at(-1);
    if (parent?.type === 'VariableDeclarator' && parent.id === node) isDeclared = true;
    else uses += 1;
  });
  return isDeclared && uses === 1;
}

function textOf({ start, end }, source) {
  return source.slice(start, end);
}
