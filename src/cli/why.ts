import { Command, InvalidArgumentError } from 'commander';
import type { Language } from '../protocol/error-codes.ts';
import { causeText, LOGOUTS, sentenceOf } from '../protocol/timeline-sentences.ts';
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

interface WhyOptions extends ServiceOptions {
  readonly limit: number;
  readonly json?: true;
}

const DEFAULT_ENTRIES = 20;
const MAX_ENTRIES = 1_000;

export function whyCommand(cli: Cli): Command {
  const command = new Command('why')
    .description('Say in plain sentences why a user is offline or online, and what happened before.')
    .argument('<user>', 'user id', userIdArgument)
    .option('--limit <count>', 'how much of what happened to show', limitArgument, DEFAULT_ENTRIES)
    .option('--json', 'print the answers of the server as they are');
  return withServiceOptions(command)
    .addHelpText('after', '\nThe language is LINGXI_LANGUAGE.\n\nExample:\n  lingxi why 42')
    .action((userId: number, options: WhyOptions) => why(cli, userId, options));
}

async function why(cli: Cli, userId: number, options: WhyOptions): Promise<void> {
  const service = openService(cli, options);
  if (service === undefined) return;
  const timeline = await service.call({
    method: 'GET',
    path: `/api/users/${userId}/timeline?limit=${options.limit}`,
  });
  if (!timeline.ok) return fail(cli, timeline.error.sentence);
  const found = await service.call({ method: 'GET', path: `/api/online/player/${userId}` });
  const entries = objectsOf(timeline.value['entries']);
  // The timeline may have the user although the record has expired.
  if (!found.ok && (found.error.status !== 404 || entries.length === 0))
    return fail(cli, found.error.sentence);
  const player = found.ok ? found.value : undefined;
  if (options.json === true) return cli.out(JSON.stringify({ player, entries }));
  const { language } = service;
  for (const line of headline({ userId, player, entries, language })) cli.out(printable(line));
  for (const entry of entries) cli.out(printable(`  ${entryLine(entry, language)}`));
}

interface Known {
  readonly userId: number;
  /** Absent: the record has expired. */
  readonly player: JsonObject | undefined;
  readonly entries: readonly JsonObject[];
  readonly language: Language;
}

function headline(known: Known): readonly string[] {
  const isZh = known.language === 'zh';
  const first = known.player?.['status'] === 'online' ? whyOnline(known, known.player) : whyOffline(known);
  if (known.entries.length === 0)
    return [first, isZh ? '时间线中没有记录。' : 'The timeline has nothing of this user.'];
  return [first, isZh ? '经过（最新在前，时间为 UTC）：' : 'What happened, newest first, times in UTC:'];
}

function whyOnline({ userId, language }: Known, player: JsonObject): string {
  const since = timeOf(player['loginTime']);
  const proof = timeOf(player['lastHeartbeat']);
  const sockets = Number(player['connections'] ?? 0);
  if (language === 'zh')
    return sockets > 0
      ? `用户 ${userId} 在线：自 ${since} 起，${sockets} 个连接，最近一次活动在 ${proof}。`
      : `用户 ${userId} 在线但没有连接（通过 HTTP 保持在线，或在超时前等待重连）：自 ${since} 起，最近一次活动在 ${proof}。`;
  return sockets > 0
    ? `User ${userId} is online since ${since}, with ${sockets} ${sockets === 1 ? 'connection' : 'connections'}; last sign of life at ${proof}.`
    : `User ${userId} is online since ${since} without a connection, by HTTP or until the timeout; last sign of life at ${proof}.`;
}

function whyOffline({ userId, player, entries, language }: Known): string {
  const end = entries.find(({ event }) => event === 'offline');
  const at = timeOf(player?.['logoutTime'] ?? end?.['at']);
  const cause = end === undefined ? undefined : causeText(LOGOUTS, shown(end['cause']), language);
  if (language === 'zh')
    return `用户 ${userId} 离线：自 ${at} 起，${cause === undefined ? '原因已无记录' : `原因：${cause}`}。`;
  return `User ${userId} is offline since ${at}${cause === undefined ? '; the cause is no longer known' : `: ${cause}`}.`;
}

function entryLine(entry: JsonObject, language: Language): string {
  const { at, event, cause, reason, node } = entry;
  const sentence = sentenceOf(
    {
      event: shown(event),
      cause: shown(cause),
      reason: typeof reason === 'string' ? reason : undefined,
    },
    language,
  );
  return language === 'zh'
    ? `${timeOf(at)}  ${sentence}（节点 ${shown(node)}）。`
    : `${timeOf(at)}  ${sentence} (node ${shown(node)}).`;
}

/** A wall-clock time in ms as text. */
function timeOf(ms: unknown): string {
  const date = new Date(typeof ms === 'number' ? ms : Number.NaN);
  return Number.isNaN(date.getTime()) ? '?' : date.toISOString().replace('T', ' ').replace('Z', '');
}

function limitArgument(text: string): number {
  const limit = /^[1-9]\d{0,3}$/.test(text) ? Number(text) : Number.POSITIVE_INFINITY;
  if (limit > MAX_ENTRIES)
    throw new InvalidArgumentError(`It must be a whole number from 1 to ${MAX_ENTRIES}.`);
  return limit;
}
