import {
  countsOf,
  DELIVERY_STATUSES,
  type Delivery,
  DROP_REASONS,
  type PushReport,
  type PushRequest,
  unknownDelivery,
} from '../protocol/delivery.ts';
import { parseJson } from '../protocol/json-text.ts';
import { parseCounts } from './parcel-outcomes.ts';

const REASONS = [...DROP_REASONS, 'no-connection'] as const;
/** Status and reason by their places, connections, how many users in a row have the same. */
const RUN = /^(\d)(\d|-)(\d+)(?:x(\d+))?$/;

/**
 * A report as short text. A repeated push names its users again, so the text has only their outcomes. Users in a row with the
 * same outcome take one entry. A list of 10,000 users takes 50 KB at most, and a few bytes if all got the message.
 */
export function encodeReport({ results, counts }: PushReport): string {
  if (results === undefined) return JSON.stringify(counts);
  const runs: string[] = [];
  let [run, length] = ['', 0];
  const end = (): void => {
    if (length > 0) runs.push(length === 1 ? run : `${run}x${length}`);
  };
  for (const delivery of results) {
    const next = encodeDelivery(delivery);
    if (next !== run) {
      end();
      [run, length] = [next, 0];
    }
    length += 1;
  }
  end();
  return runs.join(',');
}

/** The report that {@link encodeReport} wrote for this push; undefined if the text does not fit the push. */
export function decodeReport(text: string, request: PushRequest): PushReport | undefined {
  const userIds = userIdsOf(request);
  if (userIds === undefined) {
    const counts = parseCounts(parseJson(text));
    return counts && { counts };
  }
  const results: Delivery[] = [];
  for (const run of text === '' ? [] : text.split(',')) {
    const [, status, reason, connections, length = '1'] = RUN.exec(run) ?? [];
    const outcome = decodeOutcome(status, reason, connections);
    if (outcome === undefined || results.length + Number(length) > userIds.length) return undefined;
    for (let left = Number(length); left > 0; left -= 1)
      results.push({ userId: userIds[results.length] as number, ...outcome });
  }
  return results.length === userIds.length ? { results, counts: countsOf(results) } : undefined;
}

/** The report of a push with unknown outcome. If the push names no users, `online` users may have got it. */
export function unknownReport(request: PushRequest, online: number): PushReport {
  const userIds = userIdsOf(request);
  if (userIds === undefined) return { counts: online === 0 ? {} : { unknown: online } };
  const results = userIds.map(unknownDelivery);
  return { results, counts: countsOf(results) };
}

/** The users of a push, each once; undefined if it names none. */
function userIdsOf({ to }: PushRequest): readonly number[] | undefined {
  if ('userId' in to) return [to.userId];
  return 'userIds' in to ? [...new Set(to.userIds)] : undefined;
}

function encodeDelivery({ status, reason, connections }: Delivery): string {
  const why = reason === undefined ? '-' : REASONS.indexOf(reason);
  return `${DELIVERY_STATUSES.indexOf(status)}${why}${connections}`;
}

function decodeOutcome(
  status: string | undefined,
  reason: string | undefined,
  connections: string | undefined,
): Omit<Delivery, 'userId'> | undefined {
  const named = DELIVERY_STATUSES[Number(status)];
  if (named === undefined) return undefined;
  const outcome = { status: named, connections: Number(connections) };
  if (reason === '-') return outcome;
  const why = REASONS[Number(reason)];
  return why && { ...outcome, reason: why };
}
