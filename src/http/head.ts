/**
 * Gives an answer to HEAD the length of the answer to GET. The router drops its body, and with it the length: Node would send none, and
 * Bun would send 0.
 */
export async function measure({ body, headers }: Response): Promise<void> {
  if (body === null) return;
  // A stream would keep its place forever. Its length is not known.
  if (headers.get('content-type')?.startsWith('text/event-stream') === true) {
    await body.cancel();
    headers.set('transfer-encoding', 'chunked');
  } else if (headers.has('content-length')) await body.cancel();
  else headers.set('content-length', String((await new Response(body).arrayBuffer()).byteLength));
}
