/** The address of a server without a trailing slash or `/ws`; `undefined` if `url` is invalid. */
export function baseUrl(url: string | undefined, port: number | undefined): string | undefined {
  const text = url ?? `http://localhost:${port ?? 3000}`;
  const parsed = URL.canParse(text) ? new URL(text) : undefined;
  if (parsed === undefined || !/^(http|ws)s?:$/.test(parsed.protocol) || parsed.host === '') return undefined;
  const path = parsed.pathname.replace(/\/(ws)?$/, '');
  return `${parsed.protocol.replace(/^ws/, 'http')}//${parsed.host}${path}`;
}

/** The option of every command that speaks with a server. */
export const URL_OPTION = { name: '--url', example: 'http://localhost:3000' } as const;

/** What is wrong with the value of an option for which {@link baseUrl} returns nothing. */
export function badUrl(option: { readonly name: string; readonly example: string }, url = ''): string {
  return `${option.name} must be an address such as ${option.example}${reason(url)}.`;
}

const MAX_PORT = 65_535;

function reason(url: string): string {
  const [, scheme] = /^([a-z][a-z\d+.-]*:\/\/)/i.exec(url) ?? [];
  const port = /^[^/?#]*:(\d+)(?:[/?#]|$)/.exec(url.slice(scheme?.length ?? 0))?.[1];
  if (port !== undefined && Number(port) > MAX_PORT) return `: its port ${port} is above ${MAX_PORT}`;
  if (scheme === undefined) return URL.canParse(`http://${url}`) ? ': http:// is missing' : '';
  return /^(?:http|ws)s?:/i.test(scheme) ? '' : `: it begins with ${scheme}`;
}

/** Advice if no Lingxi answers at an address with a path; `undefined` for an address without one. */
export function pathAdvice(base: string): string | undefined {
  const { origin, pathname } = new URL(base);
  if (pathname === '/') return undefined;
  return `--url has the path ${pathname}. Pass ${origin}, unless a proxy serves Lingxi below that path`;
}

export function webSocketUrl(base: string): string {
  return `${base.replace(/^http/, 'ws')}/ws`;
}
