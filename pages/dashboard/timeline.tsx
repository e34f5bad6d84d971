import type { ComponentChild } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { sentenceOf } from '../../src/protocol/timeline-sentences.ts';
import { useValue } from '../shared/value.ts';
import { isolated, visibleText } from '../shared/visible-text.ts';
import { sentenceOfProblem } from './ask.ts';
import { dayAndTime } from './format.ts';
import { type Entry, readTimeline } from './readers.ts';
import { usePoller } from './use-poller.ts';
import { useSay } from './use-say.ts';

const EVERY_MS = 2_000;
const PAGE = 50;
const MOST = 1_000;
const REASON_CHARACTERS = 300;

/** The events of a user as sentences, the newest first. */
export function TimelineOf({
  keyInUse,
  userId,
}: {
  readonly keyInUse: string;
  readonly userId: string;
}): ComponentChild {
  const { say } = useSay();
  const [limit, setLimit] = useState(PAGE);
  const poller = usePoller({ key: keyInUse, everyMs: EVERY_MS, read: readTimeline });
  useEffect(() => poller.follow(`users/${userId}/timeline?limit=${limit}`), [poller, userId, limit]);
  const { answer, problem } = useValue(poller.state);
  const entries = answer?.body.entries ?? [];
  const mayHaveMore = answer !== undefined && answer.body.cursor !== '' && entries.length >= limit;
  return (
    <section class="card" aria-labelledby="timeline-title">
      <div class="section-head">
        <h2 id="timeline-title">{say('timeline.title')}</h2>
        {problem !== undefined && <p class="bad">{sentenceOfProblem(problem, say)}</p>}
      </div>
      {answer !== undefined && entries.length === 0 && <p class="muted">{say('timeline.none')}</p>}
      <ol class="timeline">
        {entries.map((entry) => (
          <EntryLine key={`${entry.at} ${entry.event} ${entry.node} ${entry.epoch}`} entry={entry} />
        ))}
      </ol>
      {mayHaveMore && limit < MOST && (
        <button type="button" onClick={() => setLimit(Math.min(limit * 2, MOST))}>
          {say('timeline.older')}
        </button>
      )}
    </section>
  );
}

function EntryLine({ entry }: { readonly entry: Entry }): ComponentChild {
  const { say, spoken } = useSay();
  const sentence = sentenceOf(
    {
      // A newer server may know events and causes that this page does not know.
      event: visibleText(entry.event, 40),
      cause: visibleText(entry.cause, 40),
      reason: entry.reason === undefined ? undefined : isolated(entry.reason, REASON_CHARACTERS),
    },
    spoken,
  );
  const node = isolated(entry.node, 40);
  return (
    <li class={toneOf(entry.event)}>
      <time dateTime={isoOf(entry.at)}>{dayAndTime(entry.at, spoken)}</time>
      <div>
        <p class="sentence">{sentence}</p>
        <p class="muted where">{say('timeline.where', { node, epoch: visibleText(entry.epoch, 24) })}</p>
      </div>
    </li>
  );
}

function toneOf(event: string): string {
  if (event === 'online' || event === 'connected') return 'up';
  return event === 'offline' ? 'down' : '';
}

function isoOf(at: number): string | undefined {
  const date = new Date(at);
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString();
}
