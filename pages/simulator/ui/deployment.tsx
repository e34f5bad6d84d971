import type { ComponentChildren } from 'preact';
import { type Action, SLOTS, type Slot, USERS } from '../model/actions.ts';
import type { Driver } from './driver.ts';
import { nameOf, type Texts } from './texts.ts';
import { nodeState, sqlFacts, storeFacts, userState } from './views.ts';

interface Shared {
  readonly texts: Texts;
  readonly driver: Driver;
}

interface PressProps {
  readonly driver: Driver;
  readonly action: Action;
  readonly label?: string;
  readonly children: ComponentChildren;
}

function Press({ driver, action, label, children }: PressProps) {
  const { play } = driver;
  const isOff = driver.windsTo !== undefined || play.isOver || !play.canDo(action);
  return (
    <button
      type="button"
      {...(label === undefined ? {} : { 'aria-label': label })}
      disabled={isOff}
      onClick={() => driver.press(action)}
    >
      {children}
    </button>
  );
}

export function DeploymentView(shared: Shared) {
  const { texts } = shared;
  return (
    <section class="deployment" aria-labelledby="deployment">
      <h2 id="deployment">{texts.deployment}</h2>
      <div class="machines">
        {SLOTS.map((slot) => (
          <NodeCard key={slot} {...shared} slot={slot} />
        ))}
        <StoreCard {...shared} />
        <SqlCard {...shared} />
      </div>
      <h2>{texts.users}</h2>
      <ul class="users">
        {USERS.map((user) => (
          <UserCard key={user} {...shared} user={user} />
        ))}
      </ul>
    </section>
  );
}

function NodeCard({ texts, driver, slot }: Shared & { readonly slot: Slot }) {
  const state = nodeState(driver.play, slot);
  const tones = { up: 'good', dead: 'bad', starting: 'warn', frozen: 'bad', cut: 'bad', unavailable: 'warn' };
  const node = driver.play.faults.nodeOf(slot);
  const here = USERS.filter((user) =>
    driver.play.players.tabsOf(user).some(({ socket }) => socket?.isOpen === true && socket.node === node),
  );
  return (
    <Card
      title={texts.node(slot)}
      detail={node.name}
      state={texts.nodeStates[state]}
      tone={tones[state]}
      facts={here.map((user) => nameOf(texts, user)).join(', ')}
    >
      {node.isUp ? (
        <Press driver={driver} action={{ kind: 'kill', node: slot }}>
          {texts.kill}
        </Press>
      ) : (
        <Press driver={driver} action={{ kind: 'start', node: slot }}>
          {texts.start}
        </Press>
      )}
      <Press driver={driver} action={{ kind: node.clock.isFrozen ? 'thaw' : 'freeze', node: slot }}>
        {node.clock.isFrozen ? texts.thaw : texts.freeze}
      </Press>
      <Press driver={driver} action={{ kind: node.link.cut ? 'join' : 'cut', node: slot }}>
        {node.link.cut ? texts.join : texts.cut}
      </Press>
      <Press driver={driver} action={{ kind: 'step-node', node: slot, hours: 8 }}>
        {texts.clock(8)}
      </Press>
      <Press driver={driver} action={{ kind: 'step-node', node: slot, hours: -1 }}>
        {texts.clock(-1)}
      </Press>
    </Card>
  );
}

function StoreCard({ texts, driver }: Shared) {
  const isAway = driver.play.deployment.host.down;
  return (
    <Card
      title={texts.store}
      state={isAway ? texts.storeStates.away : texts.storeStates.up}
      tone={isAway ? 'bad' : 'good'}
      facts={texts.storeFacts(storeFacts(driver.play))}
    >
      <Press driver={driver} action={{ kind: 'wipe' }}>
        {texts.wipe}
      </Press>
      <Press driver={driver} action={{ kind: 'failover' }}>
        {texts.failover}
      </Press>
      <Press driver={driver} action={{ kind: 'step-store', hours: 8 }}>
        {texts.clock(8)}
      </Press>
      <Press driver={driver} action={{ kind: 'step-store', hours: -8 }}>
        {texts.clock(-8)}
      </Press>
    </Card>
  );
}

function SqlCard({ texts, driver }: Shared) {
  const { down } = driver.play.deployment.sql;
  return (
    <Card
      title={texts.sql}
      state={down ? texts.sqlStates.away : texts.sqlStates.up}
      tone={down ? 'bad' : 'good'}
      facts={texts.sqlFacts(sqlFacts(driver.play))}
    >
      <Press driver={driver} action={{ kind: down ? 'start-sql' : 'stop-sql' }}>
        {down ? texts.startSql : texts.stopSql}
      </Press>
    </Card>
  );
}

interface CardProps {
  readonly title: string;
  readonly detail?: string;
  readonly state: string;
  readonly tone: string;
  readonly facts: string;
  readonly children: ComponentChildren;
}

function Card({ title, detail, state, tone, facts, children }: CardProps) {
  return (
    <div class={`card panel tone-${tone}`} role="group" aria-label={title}>
      <h3>
        {title} {detail !== undefined && <small>{detail}</small>}
      </h3>
      <p class="state">
        <span class="dot" aria-hidden="true" /> {state}
      </p>
      <p class="facts">{facts === '' ? '–' : facts}</p>
      <div class="buttons">{children}</div>
    </div>
  );
}

function UserCard({ texts, driver, user }: Shared & { readonly user: number }) {
  const name = nameOf(texts, user);
  const { text, tone } = userState(driver.play, user, texts);
  const isSilent = driver.play.players.isSilent(user);
  return (
    <li class={`user panel tone-${tone}`}>
      <h3>{name}</h3>
      <p class="state">
        <span class="dot" aria-hidden="true" /> {text}
      </p>
      <div class="buttons">
        {SLOTS.map((node) => (
          <Press
            key={node}
            driver={driver}
            action={{ kind: 'connect', user, node }}
            label={texts.toNodeLabel(name, node)}
          >
            {texts.toNode(node)}
          </Press>
        ))}
        {isSilent ? (
          <Press driver={driver} action={{ kind: 'speak', user }} label={`${name}: ${texts.speak}`}>
            {texts.speak}
          </Press>
        ) : (
          <Press driver={driver} action={{ kind: 'silent', user }} label={`${name}: ${texts.silent}`}>
            {texts.silent}
          </Press>
        )}
        {(['close', 'tab', 'logout'] as const).map((kind) => (
          <Press key={kind} driver={driver} action={{ kind, user }} label={`${name}: ${texts[kind]}`}>
            {texts[kind]}
          </Press>
        ))}
      </div>
    </li>
  );
}
