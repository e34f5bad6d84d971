const MASK = '********';
/** Names of query parameters that may hold a secret. */
const SECRET_PARAMETER = /token|secret|passw|pwd|key|auth|credential|signature|sig$|code/i;

/**
 * The address of a secret setting in a form that is safe to show: scheme, hosts and path, such as the name of a database. It
 * masks the part before the `@` and omits the part after the path. It also omits the path of a web address, which may itself be a
 * secret.
 */
export function maskedAddress(text: string): string {
  const parts = addressParts(text);
  if (parts === undefined) return MASK;
  return `${parts.scheme}${parts.hasUser ? `${MASK}@` : ''}${parts.place}`;
}

/** The same without user and password, not even masked: for log lines. */
export function placeOf(text: string): string {
  const parts = addressParts(text);
  return parts === undefined ? MASK : `${parts.scheme}${parts.place}`;
}

/** Masks users, passwords and secret-looking query parameters of all addresses in a text. */
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
  // If a password contains `#` or `?`, the parsed address ends there, and its host is really a user.
  if (/[?#].*@/.test(text)) return undefined;
  const [, scheme = '', place = ''] = parts;
  const shown = /^https?:/i.test(scheme) ? place.replace(/\/.*$/s, '') : place;
  return { scheme, hasUser: text.includes('@'), place: shown };
}
