import { Command, InvalidArgumentError } from 'commander';
import { err, ok, type Result } from '../lib/result.ts';
import { DELIVERY_STATUSES } from '../protocol/delivery.ts';
import { parseUserId } from '../protocol/user-id.ts';
import { type Cli, fail } from './cli.ts';
import { printable, shown } from './printable.ts';
import {
  type JsonObject,
  objectsOf,
  openService,
  type ServiceOptions,
  withServiceOptions,
} from './service-api.ts';
import { userIdArgument } from './token.ts';

interface PushOptions extends ServiceOptions {
  readonly user?: number;
  readonly users?: readonly number[];
  readonly groups?: readonly string[];
  readonly all?: true;
  readonly ack?: true;
  readonly timeoutMs?: number;
  readonly json?: true;
}

/** The same value as in the server. It is repeated here, because that module loads all the code that checks a push. */
const MAX_ACK_TIMEOUT_MS = 10_000;
/** Nobody got the message. */
const EXIT_NOBODY = 2;
/** Largest number of bytes that the command reads from standard input. The server has its own limit, LINGXI_MAX_BODY_BYTES. */
const MAX_INPUT_BYTES = 16_777_216;
/** With more results than this, only the counts are printed. */
const MAX_SHOWN = 50;

const EXIT_CODES = `
Exit code: 0 if at least one user got the message (with --ack: acknowledged it), 2 if nobody did, 1 if it was not sent.`;

const EXAMPLES = `
Example:
  lingxi push note '{"text":"hello"}' --user 42
  echo '{"at":"20:00"}' | lingxi push restart - --all`;

export function pushCommand(cli: Cli): Command {
  const command = new Command('push')
    .description('Push a message to users, by way of any node. Shows what became of it.')
    .argument('<type>', 'type of the message')
    .argument('[data]', 'JSON; "-" reads it from standard input; absent: null')
    .option('--user <id>', 'to one user', userIdArgument)
    .option('--users <ids>', 'to several, separated by commas', userIdsArgument)
    .option('--groups <names>', 'to the members of groups, separated by commas', namesArgument)
    .option('--all', 'to everybody')
    .option('--ack', 'ask the clients to acknowledge, and wait for it')
    .option('--timeout-ms <ms>', `how long to wait for that, at most ${MAX_ACK_TIMEOUT_MS}`, timeoutArgument)
    .option('--json', 'print the answer of the server as it is');
  return withServiceOptions(command)
    .addHelpText('after', `${EXIT_CODES}\n${EXAMPLES}`)
    .action((type: string, data: string | undefined, options: PushOptions) =>
      push(cli, { type, data }, options),
    );
}

async function push(
  cli: Cli,
  message: { readonly type: string; readonly data: string | undefined },
  options: PushOptions,
): Promise<void> {
  const to = receivers(options);
  if (!to.ok) return fail(cli, to.error);
  const data = await dataText(cli, message.data);
  if (!data.ok) return fail(cli, data.error);
  const service = openService(cli, options);
  if (service === undefined) return;
  // Sends the text of the data unchanged. Otherwise a number beyond 2^53 would change.
  const fields = [
    `"to":${JSON.stringify(to.value)}`,
    `"type":${JSON.stringify(message.type)}`,
    `"data":${data.value}`,
    ...(options.ack === true ? ['"ack":true'] : []),
    ...(options.timeoutMs === undefined ? [] : [`"timeoutMs":${options.timeoutMs}`]),
  ];
  const answer = await service.call({
    method: 'POST',
    path: '/api/messages',
    body: `{${fields.join(',')}}`,
  });
  if (!answer.ok) return fail(cli, answer.error.sentence);
  if (options.json === true) cli.out(JSON.stringify(answer.value));
  else for (const line of reportLines(answer.value)) cli.out(line);
  if (!wasDelivered(answer.value, options.ack === true)) cli.setExitCode(EXIT_NOBODY);
}

function receivers(options: PushOptions): Result<unknown, string> {
  const { user, users, groups, all, ack, timeoutMs } = options;
  const named = [
    ...(user === undefined ? [] : [{ userId: user }]),
    ...(users === undefined ? [] : [{ userIds: users }]),
    ...(groups === undefined ? [] : [{ groups }]),
    ...(all === undefined ? [] : [{ all }]),
  ];
  if (named.length !== 1) return err('Say who gets it, in one way: --user, --users, --groups or --all.');
  if (all === true && ack === true)
    return err('--ack does not go with --all: the server asks nobody to acknowledge a message to all.');
  if (timeoutMs !== undefined && ack !== true)
    return err('--timeout-ms needs --ack: nothing else is waited for.');
  return ok(named[0]);
}

async function dataText(cli: Cli, argument: string | undefined): Promise<Result<string, string>> {
  if (argument === undefined) return ok('null');
  const isInput = argument === '-';
  const text = isInput ? await cli.readInput(MAX_INPUT_BYTES) : argument;
  if (text === undefined) return err(`Standard input has more than ${MAX_INPUT_BYTES} bytes.`);
  const where = isInput ? 'Standard input' : 'The data';
  try {
    JSON.parse(text);
    return ok(text.trim());
  } catch (error) {
    const reason = printable(error instanceof Error ? error.message : String(error));
    return err(`${where} is not JSON (${reason}). A text needs double quotes: '"hello"'.`);
  }
}

function reportLines(answer: JsonObject): readonly string[] {
  const results = objectsOf(answer['results']);
  const lines = results.length > MAX_SHOWN ? [] : results.map(resultLine);
  if (lines.length === 1) return lines;
  const counts = countsOf(answer).map(([status, count]) => `${status} ${count}`);
  return [...lines, counts.length === 0 ? 'nobody is connected' : counts.join(', ')];
}

function resultLine({ userId, status, reason, connections }: JsonObject): string {
  const why = typeof reason === 'string' ? ` (${shown(reason)})` : '';
  const sockets = connections === 1 ? '1 connection' : `${shown(connections)} connections`;
  return `${shown(userId)} ${shown(status)}${why}, ${sockets}`;
}

function countsOf(answer: JsonObject): readonly (readonly [string, number])[] {
  const counts = (answer['counts'] ?? {}) as JsonObject;
  return DELIVERY_STATUSES.map((status) => [status, Number(counts[status] ?? 0)] as const).filter(
    ([, count]) => count > 0,
  );
}

function wasDelivered(answer: JsonObject, needsAck: boolean): boolean {
  const good = needsAck ? ['acked'] : ['acked', 'written', 'queued'];
  return countsOf(answer).some(([status]) => good.includes(status));
}

function userIdsArgument(text: string): readonly number[] {
  return text.split(',').map((part) => {
    const id = parseUserId(part.trim());
    if (id === undefined)
      throw new InvalidArgumentError('It must be unsigned integers below 2^53, separated by commas.');
    return id;
  });
}

function namesArgument(text: string): readonly string[] {
  const names = text.split(',').map((part) => part.trim());
  if (names.includes('')) throw new InvalidArgumentError('It must be names separated by commas.');
  return names;
}

function timeoutArgument(text: string): number {
  const ms = /^[1-9]\d{0,4}$/.test(text) ? Number(text) : Number.POSITIVE_INFINITY;
  if (ms > MAX_ACK_TIMEOUT_MS)
    throw new InvalidArgumentError(`It must be a whole number from 1 to ${MAX_ACK_TIMEOUT_MS}.`);
  return ms;
}
