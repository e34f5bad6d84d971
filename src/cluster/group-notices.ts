import { type GroupNotice, isGroupName } from '../protocol/groups.ts';
import type { Inbox, NodeFrame } from './inbox.ts';

/** Users that one frame may name. */
const MAX_USERS = 1000;

/** Receives notices of changed groups from other nodes. If one is lost, the answer to the next claim has the groups (rule DL7). */
export function listenToGroups(inbox: Pick<Inbox, 'on'>, changed: (notice: GroupNotice) => void): void {
  inbox.on('group', ({ members }) => {
    const notices = parseNotices(members);
    for (const notice of notices ?? []) changed(notice);
    return notices !== undefined;
  });
}

function parseNotices({ group, users }: NodeFrame['members']): readonly GroupNotice[] | undefined {
  if (!isGroupName(group) || !Array.isArray(users) || users.length > MAX_USERS) return undefined;
  const notices: GroupNotice[] = [];
  for (const item of users) {
    if (!Array.isArray(item) || !item.every(isWhole)) return undefined;
    const [userId, period, before, version, added] = item;
    if (userId === undefined || period === undefined || before === undefined) return undefined;
    if (version === undefined || added === undefined) return undefined;
    notices.push({ userId, group, isAdded: added === 1, step: { period, before, version } });
  }
  return notices;
}

function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
