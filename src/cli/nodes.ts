import { Command } from 'commander';
import { type Cli, fail } from './cli.ts';
import { shown } from './printable.ts';
import {
  type JsonObject,
  objectsOf,
  openService,
  type ServiceOptions,
  withServiceOptions,
} from './service-api.ts';

interface NodesOptions extends ServiceOptions {
  readonly json?: true;
}

const HEADINGS = ['NAME', 'INCARNATION', 'STATE', 'USERS', 'CONNECTIONS', 'LAST SIGN OF LIFE'] as const;

export function nodesCommand(cli: Cli): Command {
  const command = new Command('nodes')
    .description('Show the nodes of the deployment, by way of any of them.')
    .option('--json', 'print the answer of the server as it is');
  return withServiceOptions(command)
    .addHelpText('after', '\nExample:\n  lingxi nodes --url http://localhost:3000')
    .action(async (options: NodesOptions) => {
      const service = openService(cli, options);
      if (service === undefined) return;
      const answer = await service.call({ method: 'GET', path: '/api/nodes' });
      if (!answer.ok) return fail(cli, answer.error.sentence);
      if (options.json === true) return cli.out(JSON.stringify(answer.value));
      for (const line of table([HEADINGS, ...objectsOf(answer.value['nodes']).map(row)])) cli.out(line);
    });
}

function row(node: JsonObject): readonly string[] {
  const { name, incarnation, state, draining, users, connections, leaseAgeMs } = node;
  return [
    shown(name),
    shown(incarnation),
    `${shown(state)}${draining === true ? ', draining' : ''}`,
    shown(users),
    connections === null ? '?' : shown(connections),
    typeof leaseAgeMs === 'number' ? `${(leaseAgeMs / 1000).toFixed(1)} s ago` : '-',
  ];
}

/** Rows with aligned columns. */
function table(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = HEADINGS.map((_, column) => Math.max(...rows.map((cells) => cells[column]?.length ?? 0)));
  return rows.map((cells) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
