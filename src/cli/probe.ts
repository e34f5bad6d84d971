import { Command } from 'commander';
import { CloseCode } from '../protocol/close-codes.ts';
import { mayReconnect } from '../protocol/may-reconnect.ts';
import { type Cli, configOrFail, fail } from './cli.ts';
import { printable } from './printable.ts';
import { badUrl, baseUrl, URL_OPTION, webSocketUrl } from './server-url.ts';
import type { ServerRefusal } from './socket-client.ts';
import { NO_SECRET, secondsArgument, tokenSigner, userIdArgument } from './token.ts';

interface ProbeOptions {
  readonly url?: string;
  readonly user?: number;
  readonly token?: string;
  readonly seed?: true;
  readonly silentAfter?: number;
}

const BEAT_MS = 1000;

export function probeCommand(cli: Cli): Command {
  return new Command('probe')
    .description('Connect as a user, send a heartbeat each second, print what arrives. Ctrl-C ends it.')
    .option('--url <url>', 'the server, default http://localhost:$PORT')
    .option('--user <id>', 'user id; a token is signed with the secret of this folder', userIdArgument)
    .option('--token <token>', 'a user token; beside --user the server checks that it is of that user')
    .option('--seed', 'as a client of the seed: no subprotocol, envelopes only')
    .option(
      '--silent-after <seconds>',
      'stop the heartbeat after so many seconds, and answer no pings',
      secondsArgument,
    )
    .addHelpText('after', '\nExample:\n  lingxi probe --user 1 --silent-after 5')
    .action((options: ProbeOptions) => probe(cli, options));
}

async function probe(cli: Cli, options: ProbeOptions): Promise<void> {
  const target = await chooseTarget(cli, options);
  if (target === undefined) return;
  // Only this command needs `ws`.
  const { SocketClient } = await import('./socket-client.ts');
  const say = (text: string): void => cli.out(`${clockTime(cli)} ${text}`);
  const opened = await SocketClient.open({
    ...target,
    clock: cli.clock,
    protocol: options.seed === true ? 'seed' : 'lingxi.v1',
    // Pongs prove life for lingxi.v1, so a probe of the timeout must not send them.
    answersPings: options.silentAfter === undefined,
    onText: (text) => say(`<- ${printable(text)}`),
  });
  if (!opened.ok) return fail(cli, refusalSentence(target.url, opened.error, options));
  const client = opened.value;
  say(`connected to ${target.url}`);
  const beat = (): void => void client.ping(cli.clock.now());
  beat();
  const beats = cli.clock.every(BEAT_MS, beat);
  const silence =
    options.silentAfter === undefined
      ? undefined
      : cli.clock.after(options.silentAfter * 1000, () => {
          beats.cancel();
          say('silent from now on');
        });
  const interrupt = (): void => void client.close();
  process.once('SIGINT', interrupt);
  const closed = await client.closed;
  process.off('SIGINT', interrupt);
  beats.cancel();
  silence?.cancel();
  say(
    `closed ${closed.code}${closeName(closed.code)}${closed.reason === '' ? '' : ` (${printable(closed.reason)})`}`,
  );
}

async function chooseTarget(
  cli: Cli,
  options: ProbeOptions,
): Promise<{ readonly url: string; readonly token: string } | undefined> {
  const needsConfig = options.url === undefined || options.token === undefined;
  const loaded = needsConfig ? configOrFail(cli) : undefined;
  if (needsConfig && loaded === undefined) return undefined;
  const base = baseUrl(options.url, loaded?.config.port);
  if (base === undefined) {
    fail(cli, badUrl(URL_OPTION, options.url));
    return undefined;
  }
  if (options.token !== undefined) {
    const query = options.user === undefined ? '' : `?userId=${options.user}`;
    return { url: `${webSocketUrl(base)}${query}`, token: options.token };
  }
  if (options.user === undefined || loaded === undefined) {
    fail(cli, 'Say who to connect as: --user <id> or --token <token>.');
    return undefined;
  }
  const sign = await tokenSigner(cli, loaded.config);
  if (sign === undefined) {
    fail(cli, NO_SECRET);
    return undefined;
  }
  return { url: webSocketUrl(base), token: sign({ user: options.user }) };
}

function refusalSentence(url: string, refusal: ServerRefusal, options: ProbeOptions): string {
  const { status, code, sentence, retryAfter } = refusal;
  if (status === 0) return `No connection to ${url}: ${code}.`;
  const what = `${url} refused the connection: ${status} ${code}`;
  const why = sentence === undefined ? `${what}.` : `${what}: ${sentence}`;
  const advice = adviceOf(refusal, options.token !== undefined);
  const wait = retryAfter === undefined ? '' : ` It asks to wait ${printable(retryAfter)} s.`;
  return `${why}${wait}${advice === undefined ? '' : ` ${advice}`}`;
}

/** What an operator can do. */
function adviceOf({ status, code }: ServerRefusal, hasToken: boolean): string | undefined {
  if (code === '(no code)') return 'Is --url the address of a Lingxi server?';
  if (status === 401)
    return hasToken
      ? 'Pass a fresh --token that an issuer of this server has signed.'
      : 'The token was signed with the secret, issuer and audience of this folder: run this command in the folder of the server, set its JWT_SECRET here, or pass --token.';
  return code === 'unknown-user' ? 'Name a user of the users table.' : undefined;
}

function closeName(code: number): string {
  const name = Object.entries(CloseCode).find(([, value]) => value === code)?.[0];
  if (name === undefined) return '';
  const spaced = name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
  return ` ${spaced}${code >= 4000 ? `, ${mayReconnect(code) ? 'may reconnect' : 'do not reconnect'}` : ''}`;
}

function clockTime(cli: Cli): string {
  return new Date(cli.clock.now()).toISOString().slice(11, 23);
}
