// In a file of its own, so that a bundle of the client contains this rule without the table of causes.

/** Whether a client should reconnect by itself after a close with this code. */
export function mayReconnect(code: number): boolean {
  return !(code >= 4000 && code <= 4099);
}
