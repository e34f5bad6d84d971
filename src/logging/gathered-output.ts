/** A destination for text. */
export interface TextOutput {
  write(text: string): unknown;
}

/** A text of this length is written at once, without waiting for the end of the turn. */
const MAX_GATHERED = 65_536;

/**
 * Writes the lines of one turn of the loop as one text. In a burst of log lines each write is expensive, because the
 * stream below measures its whole queue again with each one.
 */
export class GatheredOutput implements TextOutput {
  readonly #output: TextOutput;
  #text = '';

  constructor(output: TextOutput) {
    this.#output = output;
  }

  write(line: string): void {
    if (this.#text === '') queueMicrotask(() => this.flush());
    this.#text += line;
    if (this.#text.length >= MAX_GATHERED) this.flush();
  }

  /** Call this before the process exits. Otherwise the lines of its last turn are lost. */
  flush(): void {
    if (this.#text === '') return;
    const text = this.#text;
    this.#text = '';
    this.#output.write(text);
  }
}
