/** The address of a server without a trailing slash or path, or `undefined` if `url` is invalid. */
export function baseUrl(url: string | undefined, port: number | undefined): string | undefined {
  const text = url ?? `http://localhost:${port ?? 3000}`;
  const parsed = URL.canParse(text) ? new URL(text) : undefined;
  if (parsed === undefined || !/^(http|ws)s?:$/.test(parsed.protocol) || parsed.host === '') return undefined;
  const path = parsed.pathname.replace(/\/(ws)?$/, '');
  return `${parsed.protocol.replace(/^ws/, 'http')}//${parsed.host}${path}`;
}

export function webSocketUrl(base: string): string {
  return `${base.replace(/^http/, 'ws')}/ws`;
}
