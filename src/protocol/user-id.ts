/**
 * Parses a user id in the form of the contract: an unsigned integer below 2^53, as a JSON integer or as a string of digits
 * without sign or leading zero. Anything else returns `undefined`.
 */
export function parseUserId(input: unknown): number | undefined {
  if (typeof input === 'number')
    return Number.isSafeInteger(input) && input >= 0 && !Object.is(input, -0) ? input : undefined;
  if (typeof input !== 'string' || input.length > 16 || !/^(0|[1-9][0-9]*)$/.test(input)) return undefined;
  const value = Number(input);
  return Number.isSafeInteger(value) ? value : undefined;
}
