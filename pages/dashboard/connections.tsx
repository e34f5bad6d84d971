import type { ComponentChild } from 'preact';
import { Plain } from '../shared/plain.tsx';
import { dayAndTime, duration, wholeNumber } from './format.ts';
import { serverNow } from './live.ts';
import type { Connection } from './readers.ts';
import { labelOf } from './texts.ts';
import { useSay } from './use-say.ts';

/** The open sockets of a user. */
export function Connections({
  connections,
}: {
  readonly connections: readonly Connection[];
}): ComponentChild {
  const { say } = useSay();
  return (
    <section class="card" aria-labelledby="connections-title">
      <h2 id="connections-title">{say('user.connections')}</h2>
      <div role="group" class="scroll" tabIndex={0} aria-labelledby="connections-title">
        <table>
          <thead>
            <tr>
              <th scope="col">{say('connection.node')}</th>
              <th scope="col">{say('connection.state')}</th>
              <th scope="col" class="number">
                {say('connection.since')}
              </th>
              <th scope="col">{say('connection.address')}</th>
              <th scope="col">{say('connection.protocol')}</th>
              <th scope="col" class="number">
                {say('connection.queue')}
              </th>
              <th scope="col" class="number">
                {say('connection.epoch')}
              </th>
            </tr>
          </thead>
          <tbody>
            {connections.length === 0 && (
              <tr>
                <td colSpan={7} class="muted">
                  {say('user.noConnections')}
                </td>
              </tr>
            )}
            {connections.map((connection) => (
              <ConnectionRow key={connection.connectionId} connection={connection} />
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function ConnectionRow({ connection }: { readonly connection: Connection }): ComponentChild {
  const { say, spoken } = useSay();
  const { node, state, since, address, protocol, queue, queueBytes, epoch } = connection;
  const bytes = say('connection.bytes', {
    count: wholeNumber(queue, spoken),
    bytes: wholeNumber(queueBytes, spoken),
  });
  return (
    <tr>
      <td>
        <Plain text={node} most={40} />
      </td>
      <td>
        <span class={`badge ${state === 'active' ? 'good' : ''}`}>{labelOf('state', state, say)}</span>
      </td>
      <td class="number" title={dayAndTime(since, spoken)}>
        {duration(Math.max(1_000, serverNow() - since), spoken)}
      </td>
      <td>
        <Plain text={address} most={45} />
      </td>
      <td>
        <Plain text={protocol} most={24} />
      </td>
      <td class="number" title={bytes}>
        {wholeNumber(queue, spoken)}
      </td>
      <td class="number">
        <Plain text={epoch} most={24} />
      </td>
    </tr>
  );
}
