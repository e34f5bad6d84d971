/** One event of a `text/event-stream`. */
export interface StreamEvent {
  readonly event: string;
  readonly data: string;
}

/** Largest number of characters in one event. A longer event is not from our server. */
const MAX_EVENT_LENGTH = 4_000_000;

/** Reads server-sent events from pieces of text. Ignores comments. */
export class EventStreamReader {
  #rest = '';
  #event = '';
  #data: string[] = [];
  #length = 0;

  /** The events that this piece completes. Throws a RangeError if an event does not end. */
  push(piece: string): readonly StreamEvent[] {
    const events: StreamEvent[] = [];
    const lines = (this.#rest + piece).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.#line(line.endsWith('\r') ? line.slice(0, -1) : line, events);
    if (this.#rest.length + this.#length > MAX_EVENT_LENGTH) throw new RangeError('this event has no end');
    return events;
  }

  #line(line: string, events: StreamEvent[]): void {
    if (line === '') {
      if (this.#data.length > 0)
        events.push({ event: this.#event || 'message', data: this.#data.join('\n') });
      this.#event = '';
      this.#data = [];
      this.#length = 0;
      return;
    }
    const colon = line.indexOf(':');
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'event') this.#event = value;
    if (field !== 'data') return;
    this.#data.push(value);
    this.#length += value.length;
  }
}
