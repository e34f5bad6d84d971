// Alone in its file, so that a bundle of the client carries this rule without the table of causes.

/** Whether a client should come back by itself after a close with this code. */
export function mayReconnect(code: number): boolean {
  return !(code >= 4000 && code <= 4099);
}
