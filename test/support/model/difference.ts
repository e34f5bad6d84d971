/** The scripts and the rules disagree. */
export class Difference extends Error {
  override readonly name = 'Difference';
  readonly rules: unknown;
  readonly scripts: unknown;

  constructor(command: string, sides: { readonly rules: unknown; readonly scripts: unknown }) {
    super(`after ${command}:\n${differencesOf(sides.rules, sides.scripts).join('\n')}`);
    this.rules = sides.rules;
    this.scripts = sides.scripts;
  }
}

function differencesOf(rules: unknown, scripts: unknown, path = ''): readonly string[] {
  const isBoth = [rules, scripts].every((side) => typeof side === 'object' && side !== null);
  if (!isBoth) {
    const [wanted, found] = [JSON.stringify(rules), JSON.stringify(scripts)];
    return wanted === found ? [] : [`  ${path}: rules ${wanted}, scripts ${found}`];
  }
  const [left, right] = [rules as Record<string, unknown>, scripts as Record<string, unknown>];
  const names = new Set([...Object.keys(left), ...Object.keys(right)]);
  return [...names].flatMap((name) => differencesOf(left[name], right[name], `${path} ${name}`));
}
