import type { ComponentChild } from 'preact';
import { useEffect } from 'preact/hooks';
import { Plain } from '../shared/plain.tsx';
import { useValue } from '../shared/value.ts';
import { isolated, visibleText } from '../shared/visible-text.ts';
import { Actions } from './actions.tsx';
import { type Problem, sentenceOfProblem } from './ask.ts';
import { Connections } from './connections.tsx';
import { dayAndTime, duration } from './format.ts';
import { serverNow } from './live.ts';
import { type Player, readUser, stateOf, type UserDetails } from './readers.ts';
import { usersHash } from './route.ts';
import { labelOf } from './texts.ts';
import { TimelineOf } from './timeline.tsx';
import { usePoller } from './use-poller.ts';
import { useSay } from './use-say.ts';

const EVERY_MS = 1_000;

interface UserPageProps {
  readonly keyInUse: string;
  readonly userId: string;
}

export function UserPage({ keyInUse, userId }: UserPageProps): ComponentChild {
  const { say } = useSay();
  const poller = usePoller({ key: keyInUse, everyMs: EVERY_MS, read: readUser });
  useEffect(() => poller.follow(`dashboard/users/${userId}`), [poller, userId]);
  const { answer, problem } = useValue(poller.state);
  const details = answer?.body;
  const name = details?.player?.username ?? '';
  const shownName = name === '' ? say('user.title', { id: userId }) : isolated(name);
  return (
    <>
      <p>
        <a href={usersHash({ search: '', sort: 'since', order: 'desc' })}>← {say('user.back')}</a>
      </p>
      <div class="section-head">
        <h1 tabIndex={-1}>{name === '' ? say('user.title', { id: userId }) : <Plain text={name} />}</h1>
        {name !== '' && <p class="muted">{userId}</p>}
      </div>
      <Remark problem={problem} details={details} />
      <div class="user">
        <div class="user-main">
          <Facts details={details} />
          <Connections connections={details?.connections ?? []} />
          <TimelineOf keyInUse={keyInUse} userId={userId} />
        </div>
        <Actions userId={userId} name={shownName} details={details} onDone={() => poller.refresh()} />
      </div>
    </>
  );
}

/** One line that is always there: the fault, or nothing. */
function Remark({
  problem,
  details,
}: {
  readonly problem: Problem | undefined;
  readonly details: UserDetails | undefined;
}): ComponentChild {
  const { say } = useSay();
  const text = (): string => {
    if (problem !== undefined) return sentenceOfProblem(problem, say);
    if (details === undefined) return say('users.loading');
    if (details.partial.length > 0)
      return say('user.partial', { nodes: details.partial.map((node) => isolated(node, 40)).join(', ') });
    if (details.player === undefined) return say('user.unknown');
    return details.player.status === 'offline' ? say('user.gone') : '';
  };
  return (
    <p class={problem === undefined ? 'hint muted' : 'hint bad'} role="status">
      {text()}
    </p>
  );
}

function Facts({ details }: { readonly details: UserDetails | undefined }): ComponentChild {
  const { say } = useSay();
  const player = details?.player;
  return (
    <dl class="card facts">
      <div>
        <dt>{say('user.status')}</dt>
        <dd>{player === undefined ? '–' : <StateBadge player={player} details={details} />}</dd>
      </div>
      <Moment label={say('user.login')} at={player?.loginTime ?? null} />
      <Moment label={say('user.heartbeat')} at={player?.lastHeartbeat ?? null} />
      <Moment label={say('user.logout')} at={player?.logoutTime ?? null} />
      <div>
        <dt>{say('user.address')}</dt>
        <dd>{player === undefined || player.ip === '' ? '–' : <Plain text={player.ip} most={45} />}</dd>
      </div>
      <div class="facts-groups">
        <dt>{say('user.groups')}</dt>
        <dd>
          {details === undefined || details.groups.length === 0
            ? say('user.noGroups')
            : details.groups.map((group) => (
                <span key={group} class="badge">
                  {visibleText(group)}
                </span>
              ))}
        </dd>
      </div>
    </dl>
  );
}

interface StateProps {
  readonly player: Player;
  readonly details: UserDetails | undefined;
}

function StateBadge({ player, details }: StateProps): ComponentChild {
  const { say } = useSay();
  const state = stateOf(player, details);
  return (
    <span class={`badge ${state === 'active' ? 'good' : state === 'lingering' ? 'warn' : ''}`}>
      {labelOf('state', state, say)}
    </span>
  );
}

function Moment({ label, at }: { readonly label: string; readonly at: number | null }): ComponentChild {
  const { say, spoken } = useSay();
  return (
    <div>
      <dt>{label}</dt>
      <dd>
        {at === null ? '–' : dayAndTime(at, spoken)}
        {at !== null && (
          <span class="muted ago">
            {' '}
            {say('ago.time', { time: duration(Math.max(1_000, serverNow() - at), spoken) })}
          </span>
        )}
      </dd>
    </div>
  );
}
