import { Command, Option } from 'commander';
import { type Cli, fail } from './cli.ts';
import { printable, shown } from './printable.ts';
import {
  objectsOf,
  openService,
  type ServiceApi,
  type ServiceOptions,
  withServiceOptions,
} from './service-api.ts';

interface DrainOptions extends ServiceOptions {
  readonly yes?: true;
  readonly undo?: true;
  readonly revert?: true;
}

const EXAMPLES = `
Example:
  lingxi drain game-2 --yes
  lingxi drain game-2 --undo`;

export function drainCommand(cli: Cli): Command {
  const command = new Command('drain')
    .description(
      'Take a node out of service: no new connections, and the open ones are closed at an even pace.',
    )
    .argument('[node]', 'name, incarnation, or <name>:<incarnation>; needed if there is more than one node')
    .option('--yes', 'do not ask')
    .option('--undo', 'take the node back into service')
    .addOption(new Option('--revert', 'the same as --undo').hideHelp());
  return withServiceOptions(command)
    .addHelpText('after', EXAMPLES)
    .action((node: string | undefined, options: DrainOptions) => drain(cli, node, options));
}

async function drain(cli: Cli, asked: string | undefined, options: DrainOptions): Promise<void> {
  const isUndo = options.undo === true || options.revert === true;
  const service = openService(cli, options);
  if (service === undefined) return;
  // Behind a load balancer, a drain without a name would reach a random node.
  const node = asked ?? (await onlyNode(cli, service));
  if (node === undefined) return;
  if (!isUndo && options.yes !== true && !(await mayDrain(cli, node))) return;
  const answer = await service.call({
    method: isUndo ? 'DELETE' : 'POST',
    path: '/api/drain',
    body: JSON.stringify({ node }),
  });
  if (!answer.ok) return fail(cli, answer.error.sentence);
  const name = shown(answer.value['node']);
  if (answer.value['draining'] !== true) return cli.out(`${name} is in service.`);
  if (isUndo) return fail(cli, `${name} is being stopped, so it stays draining.`);
  cli.out(`${name} drains. "lingxi nodes" shows how many connections are left.`);
  cli.out(`Take it back with: lingxi drain ${name} --undo`);
}

async function mayDrain(cli: Cli, node: string): Promise<boolean> {
  if (!cli.isInteractive) {
    fail(cli, `Draining closes every connection of ${printable(node)}: pass --yes if you mean it.`);
    return false;
  }
  if (await cli.confirm(`Close every connection of ${printable(node)}?`)) return true;
  fail(cli, 'Nothing was done.');
  return false;
}

/** The living node, if there is only one. */
async function onlyNode(cli: Cli, service: ServiceApi): Promise<string | undefined> {
  const answer = await service.call({ method: 'GET', path: '/api/nodes' });
  if (!answer.ok) {
    fail(cli, answer.error.sentence);
    return undefined;
  }
  const living = objectsOf(answer.value['nodes']).filter(({ state }) => state !== 'dead');
  const names = living.map(({ node }) => shown(node));
  if (names.length === 1) return names[0];
  fail(cli, `There are ${names.length} nodes: name one of ${names.join(', ')}.`);
  return undefined;
}
