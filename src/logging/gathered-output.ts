/** Somewhere that takes text. */
export interface TextOutput {
  write(text: string): unknown;
}

/** Characters that are handed on without waiting for the end of the turn. */
const MAX_GATHERED = 65_536;

/**
 * Hands on the lines of one turn of the loop as one text. In a storm of log lines each write has a high price of its
 * own: the stream below measures all that waits in it anew with every one.
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

  /** To be called before the process exits: what was written in its last turn would be lost. */
  flush(): void {
    if (this.#text === '') return;
    const text = this.#text;
    this.#text = '';
    this.#output.write(text);
  }
}
