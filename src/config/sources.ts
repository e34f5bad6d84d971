import { resolve } from 'node:path';
import { parse as parseEnvFile } from 'dotenv';
import { err, ok, type Result } from '../lib/result.ts';
import { CONFIG_FILE_VARIABLE, KNOWN_VARIABLES, SECRET_FILE_SUFFIX } from './keys.ts';
import { nearestName } from './nearest-name.ts';

export interface ConfigError {
  /** One sentence that names the variable and what to do. */
  readonly message: string;
}

export interface SourceOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** The text of a file, or `undefined` if there is none. Throws if it cannot be read. */
  readFile(path: string): string | undefined;
}

/** The value of one variable. */
export interface Given {
  readonly text: string;
  /** Its source, for `check-config`. */
  readonly origin: string;
  /** The name that was set: the key's own variable, or that of its secret file. */
  readonly variable: string;
}

/** The values of the sources. The first ones have priority. */
export type Lookup = (variable: string, isSecret: boolean) => Result<Given | undefined, ConfigError>;

interface Layer {
  readonly name: string;
  readonly values: Readonly<Record<string, string | undefined>>;
  /** A file that belongs only to Lingxi must have no unknown name. */
  readonly isOurs: boolean;
}

/** Reads the environment, `.env` and the file that `LINGXI_CONFIG` names; refuses unknown names. */
export function openSources(options: SourceOptions): Result<Lookup, ConfigError> {
  const layers: Layer[] = [{ name: 'environment', values: options.env, isOurs: false }];
  const envFile = readOrRefuse(options, '.env', '.env');
  if (!envFile.ok) return envFile;
  if (envFile.value !== undefined) {
    layers.push({ name: '.env', values: parseEnvFile(withoutMark(envFile.value)), isOurs: false });
  }
  const named = find(layers, CONFIG_FILE_VARIABLE);
  if (named !== undefined) {
    const layer = readConfigFile(options, named.text);
    if (!layer.ok) return layer;
    layers.push(layer.value);
  }
  for (const layer of layers) {
    const unknown = refuseUnknownName(layer);
    if (unknown !== undefined) return err(unknown);
  }
  return ok((variable, isSecret) => lookUp({ layers, options, variable, isSecret }));
}

function lookUp(request: {
  layers: readonly Layer[];
  options: SourceOptions;
  variable: string;
  isSecret: boolean;
}): Result<Given | undefined, ConfigError> {
  const { layers, options, variable } = request;
  const direct = find(layers, variable);
  if (!request.isSecret) return ok(direct);
  const fileVariable = variable + SECRET_FILE_SUFFIX;
  const file = find(layers, fileVariable);
  if (file === undefined) return ok(direct);
  if (direct !== undefined) {
    return err({ message: `${variable} and ${fileVariable} are both set: keep one of them.` });
  }
  const text = readOrRefuse(options, file.text, fileVariable);
  if (!text.ok) return text;
  if (text.value === undefined) {
    return err({ message: `${fileVariable} names ${JSON.stringify(file.text)}, which does not exist.` });
  }
  const secret = withoutMark(text.value).trim();
  if (secret === '') {
    return err({ message: `${fileVariable} names ${JSON.stringify(file.text)}, which is empty.` });
  }
  return ok({ text: secret, origin: `file ${file.text}`, variable: fileVariable });
}

function find(layers: readonly Layer[], variable: string): Given | undefined {
  for (const layer of layers) {
    const text = layer.values[variable];
    if (text !== undefined && text !== '') return { text, origin: layer.name, variable };
  }
  return undefined;
}

function readConfigFile(options: SourceOptions, file: string): Result<Layer, ConfigError> {
  const text = readOrRefuse(options, file, CONFIG_FILE_VARIABLE);
  if (!text.ok) return text;
  const where = `${CONFIG_FILE_VARIABLE} names ${JSON.stringify(file)}, which`;
  if (text.value === undefined) return err({ message: `${where} does not exist.` });
  const parsed = parseJson(withoutMark(text.value));
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    return err({ message: `${where} is not a JSON object of variables.` });
  }
  const values = Object.create(null) as Record<string, string>;
  for (const [name, value] of Object.entries(parsed)) {
    const asText = valueText(value);
    if (asText === undefined) {
      return err({
        message: `${name} in ${file} must be a string, a number, true, false or a list of strings.`,
      });
    }
    values[name] = asText;
  }
  if (values[CONFIG_FILE_VARIABLE] !== undefined) {
    return err({ message: `${CONFIG_FILE_VARIABLE} may not stand in ${file} itself.` });
  }
  return ok({ name: file, values, isOurs: true });
}

function valueText(value: unknown): string | undefined {
  if (value === null) return '';
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value.join(',');
  return undefined;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function refuseUnknownName(layer: Layer): ConfigError | undefined {
  for (const name of Object.keys(layer.values)) {
    const isClaimed = layer.isOurs || name.startsWith('LINGXI_');
    if (!isClaimed || KNOWN_VARIABLES.has(name)) continue;
    const nearest = nearestName(name, KNOWN_VARIABLES);
    const advice = nearest === undefined ? 'remove it' : `did you mean ${nearest}?`;
    const end = nearest === undefined ? '.' : '';
    return { message: `${printable(name)} (${layer.name}) is not a known variable: ${advice}${end}` };
  }
  return undefined;
}

function readOrRefuse(
  options: SourceOptions,
  file: string,
  variable: string,
): Result<string | undefined, ConfigError> {
  try {
    return ok(options.readFile(resolve(options.cwd, file)));
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    const what = variable === file ? file : `${variable} names ${JSON.stringify(file)}, which`;
    return err({ message: `${what} cannot be read (${reason}): check its permissions.` });
  }
}

function withoutMark(text: string): string {
  return text.startsWith('\uFEFF') ? text.slice(1) : text;
}

function printable(name: string): string {
  return name.replace(/[^\x20-\x7e]/g, '?').slice(0, 100);
}
