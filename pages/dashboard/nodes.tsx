import type { ComponentChild } from 'preact';
import { useState } from 'preact/hooks';
import { Plain } from '../shared/plain.tsx';
import { useValue } from '../shared/value.ts';
import { isolated } from '../shared/visible-text.ts';
import { ask, type Reply, sentenceOfProblem } from './ask.ts';
import { Confirm } from './confirm.tsx';
import type { NodeState } from './counts.ts';
import { duration, wholeNumber } from './format.ts';
import { liveState } from './live.ts';
import { session } from './session.ts';
import { labelOf } from './texts.ts';
import { useSay } from './use-say.ts';

interface NodesProps {
  readonly nodes: readonly NodeState[];
  /** The node that serves this page. */
  readonly asked: string;
}

interface Result {
  readonly text: string;
  readonly isBad: boolean;
}

const NO_RESULT: Result = { text: '', isBad: false };

export function Nodes({ nodes, asked }: NodesProps): ComponentChild {
  const { say } = useSay();
  const isReadOnly = useValue(session)?.access === 'view';
  // An operator who sees old figures, or gets no answer, must not change a node.
  const isLive = useValue(liveState).status === 'live';
  const [draining, setDraining] = useState<NodeState>();
  const [result, setResult] = useState<Result>(NO_RESULT);
  const change = async (node: NodeState, isDrain: boolean): Promise<void> => {
    const reply = await askToDrain(node, isDrain);
    const text = say(isDrain ? 'drain.done' : 'drain.undone', { name: isolated(node.name) });
    setResult(
      reply.ok ? { text, isBad: false } : { text: sentenceOfProblem(reply.problem, say), isBad: true },
    );
  };
  return (
    <section class="card nodes" aria-labelledby="nodes-title">
      <div class="section-head">
        <h2 id="nodes-title">{say('nodes.title')}</h2>
        <p class={result.isBad ? 'bad' : 'good'} role="status">
          {result.text}
        </p>
      </div>
      {isReadOnly && <p class="muted">{say('readOnly.why')}</p>}
      {/* Keyboards scroll what has the focus. */}
      <div role="group" class="scroll" tabIndex={0} aria-labelledby="nodes-title">
        <table>
          <thead>
            <tr>
              <th scope="col">{say('nodes.node')}</th>
              <th scope="col">{say('nodes.state')}</th>
              <th scope="col" class="number">
                {say('nodes.lease')}
              </th>
              <th scope="col" class="number">
                {say('nodes.users')}
              </th>
              <th scope="col" class="number">
                {say('nodes.connections')}
              </th>
              <th scope="col">
                <span class="hidden">{say('nodes.drain')}</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {nodes.length === 0 && (
              <tr>
                <td colSpan={6} class="muted">
                  {say('nodes.none')}
                </td>
              </tr>
            )}
            {nodes.map((node) => (
              <NodeRow
                key={node.node}
                node={node}
                isAsked={node.node === asked}
                mayChange={!isReadOnly && isLive}
                onDrain={() => setDraining(node)}
                onUndo={() => void change(node, false)}
              />
            ))}
          </tbody>
        </table>
      </div>
      {draining !== undefined && (
        <DrainDialog
          node={draining}
          onConfirm={() => change(draining, true)}
          onClose={() => setDraining(undefined)}
        />
      )}
    </section>
  );
}

interface RowProps {
  readonly node: NodeState;
  readonly isAsked: boolean;
  readonly mayChange: boolean;
  readonly onDrain: () => void;
  readonly onUndo: () => void;
}

function NodeRow({ node, isAsked, mayChange, onDrain, onUndo }: RowProps): ComponentChild {
  const { say, spoken } = useSay();
  const name = isolated(node.name);
  const state = node.state === 'live' && node.isDraining ? 'draining' : node.state;
  const note = node.hasAnswered ? (isAsked ? say('nodes.asked') : '') : say('nodes.unanswered');
  return (
    <tr>
      <td class="node-name">
        <Plain text={node.name} most={40} />
        <span class="muted mono">
          {' '}
          {node.node.startsWith(node.name) && <Plain text={node.node.slice(node.name.length)} most={24} />}
        </span>
        <span class="node-note muted">{note}</span>
      </td>
      <td data-label={say('nodes.state')}>
        <span class={`badge ${toneOf(state)}`}>{labelOf('nodeState', state, say)}</span>
      </td>
      <td class="number" data-label={say('nodes.lease')}>
        {node.leaseAgeMs === null ? '–' : duration(node.leaseAgeMs, spoken)}
      </td>
      <td class="number" data-label={say('nodes.users')}>
        {wholeNumber(node.users, spoken)}
      </td>
      <td class="number" data-label={say('nodes.connections')}>
        {node.connections === null ? '–' : wholeNumber(node.connections, spoken)}
      </td>
      <td class="number node-action">
        {node.isDraining ? (
          <button
            type="button"
            disabled={!mayChange}
            aria-label={say('nodes.undoOf', { name })}
            onClick={onUndo}
          >
            {say('nodes.undo')}
          </button>
        ) : (
          <button
            type="button"
            class="danger"
            disabled={!mayChange || node.state === 'dead'}
            aria-label={say('nodes.drainOf', { name })}
            onClick={onDrain}
          >
            {say('nodes.drain')}
          </button>
        )}
      </td>
    </tr>
  );
}

interface DrainProps {
  readonly node: NodeState;
  readonly onConfirm: () => Promise<void>;
  readonly onClose: () => void;
}

function DrainDialog({ node, onConfirm, onClose }: DrainProps): ComponentChild {
  const { say, spoken } = useSay();
  const name = isolated(node.name);
  const count = node.connections === null ? '?' : wholeNumber(node.connections, spoken);
  return (
    <Confirm
      title={say('drain.title', { name })}
      confirm={say('nodes.drain')}
      typed={{ text: node.name, label: say('drain.type', { name }) }}
      onConfirm={onConfirm}
      onClose={onClose}
    >
      <p>{say('drain.text', { count })}</p>
    </Confirm>
  );
}

function askToDrain(node: NodeState, isDrain: boolean): Promise<Reply> {
  return ask('drain', {
    key: session.now?.key ?? '',
    method: isDrain ? 'POST' : 'DELETE',
    body: JSON.stringify({ node: node.node }),
  });
}

function toneOf(state: string): string {
  if (state === 'live') return 'good';
  return state === 'dead' ? 'bad' : 'warn';
}
