/** Longest wait for an answer. */
const LIMIT_MS = 4_000;

/** An answer of the server, or why there is none. */
export type Answer =
  | { readonly kind: 'ok'; readonly body: Readonly<Record<string, unknown>> }
  /** The server refused: its own sentence, and its code. */
  | { readonly kind: 'refused'; readonly status: number; readonly code: string; readonly sentence: string }
  /** The server is gone, or does not answer in time. */
  | { readonly kind: 'silent' };

/** Sends a request to the server of this page; never rejects. */
export async function ask(
  path: string,
  {
    method = 'GET',
    token,
    language = 'en',
  }: { method?: string; token?: string | undefined; language?: string } = {},
): Promise<Answer> {
  try {
    const response = await fetch(new URL(path, document.baseURI), {
      method,
      cache: 'no-store',
      headers: {
        'accept-language': language,
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      signal: AbortSignal.timeout(LIMIT_MS),
    });
    const body = (await response.json().catch(() => ({}))) as Readonly<Record<string, unknown>>;
    if (response.ok) return { kind: 'ok', body };
    const { code = '', error = '' } = body;
    return { kind: 'refused', status: response.status, code: String(code), sentence: String(error) };
  } catch {
    return { kind: 'silent' };
  }
}
