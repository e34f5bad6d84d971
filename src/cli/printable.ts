/** Replaces characters of received text that could control a terminal. */
export function printable(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?');
}

/** A value of an answer as text for a terminal. */
export function shown(value: unknown): string {
  if (value === undefined) return '?';
  return printable(typeof value === 'string' ? value : JSON.stringify(value));
}
