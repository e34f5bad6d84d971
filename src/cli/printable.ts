/** Makes received text safe for a terminal. */
export function printable(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?');
}

/** A value of an answer in a form for a terminal. */
export function shown(value: unknown): string {
  if (value === undefined) return '?';
  return printable(typeof value === 'string' ? value : JSON.stringify(value));
}
