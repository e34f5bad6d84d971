const MASK = '********';
/** Names of query parameters that may hold a secret. */
const SECRET_PARAMETER = /token|secret|passw|pwd|key|auth|credential|signature|sig$|code/i;

/**
 * Where the address of a secret setting leads: scheme, hosts and path. What stands before the `@` is masked; what
 * follows the path is left out.
 */
export function maskedAddress(text: string): string {
  const parts = addressParts(text);
  if (parts === undefined) return MASK;
  return `${parts.scheme}${parts.hasUser ? `${MASK}@` : ''}${parts.place}`;
}

/** The same without any trace of a user or a password: for log lines. */
export function placeOf(text: string): string {
  const parts = addressParts(text);
  return parts === undefined ? MASK : `${parts.scheme}${parts.place}`;
}

/** Any text that is shown: users, passwords and secret-looking query parameters of the addresses in it are masked. */
export function maskSecrets(text: string): string {
  return text
    .replace(/(:\/\/)[^/?#\s@]*(?:@[^/?#\s@]*)*@/g, `$1${MASK}@`)
    .replace(/([?&])([^=&#\s]+)=([^&#\s]*)/g, (found, mark: string, name: string) =>
      SECRET_PARAMETER.test(name) ? `${mark}${name}=${MASK}` : found,
    );
}

function addressParts(
  text: string,
): { readonly scheme: string; readonly hasUser: boolean; readonly place: string } | undefined {
  const parts = /^([a-z+]+:\/\/)(?:[^/?#]*@)?([^/?#@]+(?:\/[^?#@]*)?)?(?:[?#].*)?$/i.exec(text);
  if (parts === null) return undefined;
  return { scheme: parts[1] ?? '', hasUser: text.includes('@'), place: parts[2] ?? '' };
}
