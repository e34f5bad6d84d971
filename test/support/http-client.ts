export interface CallOptions {
  /** A user token, sent as a bearer. */
  readonly token?: string;
  /** Sends the service key. */
  readonly service?: boolean;
  /** Sent as JSON. A string or bytes are sent unchanged. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The parsed body; `undefined` if it is not JSON. */
  readonly json: unknown;
  /** `json` as an object; throws if it is not one. */
  readonly body: Readonly<Record<string, unknown>>;
}

export async function callHttp(
  url: string,
  method: string,
  path: string,
  options: CallOptions,
  apiKey: string,
): Promise<Answer> {
  const headers: Record<string, string> = { ...options.headers };
  if (options.token !== undefined) headers['authorization'] = `Bearer ${options.token}`;
  if (options.service === true) headers['authorization'] = `Bearer ${apiKey}`;
  const body = encodeBody(options.body);
  if (body !== undefined && headers['content-type'] === undefined)
    headers['content-type'] = 'application/json';
  const response = await fetch(url + path, {
    method,
    headers,
    redirect: 'manual',
    ...(body === undefined ? {} : { body }),
  });
  const text = await response.text();
  const json = parse(text);
  return {
    status: response.status,
    headers: response.headers,
    text,
    json,
    get body() {
      if (typeof json !== 'object' || json === null) {
        throw new Error(
          `${method} ${path} answered ${response.status} without a JSON object: ${text.slice(0, 300)}`,
        );
      }
      return json as Record<string, unknown>;
    },
  };
}

function encodeBody(body: unknown): string | Uint8Array<ArrayBuffer> | undefined {
  if (body === undefined || typeof body === 'string') return body;
  if (body instanceof Uint8Array) return new Uint8Array(body);
  return JSON.stringify(body);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
