import type { Duty, PendingDuties } from '../../src/protocol/periods.ts';
import type { DutySource } from '../../src/settlement/settler.ts';

/** A duty source in one process. A test can inspect it and make it fail. */
export class DutyQueue implements DutySource {
  readonly waiting: Duty[] = [];
  readonly given = new Set<Duty>();
  readonly aside: { readonly duty: Duty; readonly error: string }[] = [];
  readonly takes: number[] = [];
  /** Rejects every call while set. */
  down = false;
  oldestAgeMs = 0;
  burst = false;

  get hasBurst(): boolean {
    return this.burst;
  }

  add(...duties: readonly Duty[]): void {
    this.waiting.push(...duties);
  }

  takeDuties(limit: number): Promise<readonly Duty[]> {
    if (this.down) return Promise.reject(new Error('queue down'));
    const batch = this.waiting.splice(0, limit);
    if (batch.length > 0) this.takes.push(batch.length);
    for (const duty of batch) this.given.add(duty);
    return Promise.resolve(batch);
  }

  ackDuties(duties: readonly Duty[]): Promise<void> {
    if (this.down) return Promise.reject(new Error('queue down'));
    for (const duty of duties) this.given.delete(duty);
    return Promise.resolve();
  }

  setAside(duty: Duty, error: string): Promise<void> {
    this.given.delete(duty);
    this.aside.push({ duty, error });
    return Promise.resolve();
  }

  pendingDuties(): Promise<PendingDuties> {
    if (this.down) return Promise.reject(new Error('queue down'));
    const count = this.waiting.length + this.given.size;
    return Promise.resolve({ count, oldestAgeMs: this.oldestAgeMs, setAside: this.aside.length });
  }
}
