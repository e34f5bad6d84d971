/** Readers of JSON from elsewhere. A missing or wrong value becomes a harmless one. */
export type Json = Readonly<Record<string, unknown>>;

/** A newer server may send more than this page can show. */
const MOST_NAMES = 60;

export function objectOf(value: unknown): Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {};
}

export function listOf(value: unknown, most: number): readonly Json[] {
  return Array.isArray(value) ? value.slice(0, most).map(objectOf) : [];
}

export function textsOf(value: unknown, most: number): readonly string[] {
  return Array.isArray(value)
    ? value.filter((item): item is string => typeof item === 'string').slice(0, most)
    : [];
}

export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : '';
}

export function numberOf(value: unknown): number {
  return numberOrNull(value) ?? 0;
}

export function numberOrNull(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

/** Numbers by name. The names come from the server. */
export function numbersOf(value: unknown): Readonly<Record<string, number>> {
  const numbers: Record<string, number> = {};
  for (const [name, number] of Object.entries(objectOf(value)).slice(0, MOST_NAMES))
    if (name !== '__proto__' && typeof number === 'number' && Number.isFinite(number)) numbers[name] = number;
  return numbers;
}
