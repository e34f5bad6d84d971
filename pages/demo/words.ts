import type { State } from '../../src/client/types.ts';
import { ERRORS } from '../../src/protocol/error-codes.ts';
import { causeText, LOGOUTS } from '../../src/protocol/timeline-sentences.ts';
import type { Language } from '../shared/language.ts';
import { isolated, visibleText } from '../shared/visible-text.ts';

/** A text in both languages. */
export type Text = Readonly<Record<Language, string>>;

export function text(en: string, zh: string): Text {
  return { en, zh };
}

/** The meaning of a reason in the connection state. The server's own refusals have their sentences in the protocol. */
const REASONS: Readonly<Record<string, Text>> = {
  new: text('nothing has happened yet', '尚未开始'),
  start: text('the first attempt', '第一次尝试'),
  connected: text('the server has accepted it, and the user came online', '服务器已接受，用户上线'),
  resumed: text(
    'the server has accepted it; for the server the user never left',
    '服务器已接受；在服务器看来用户从未离开',
  ),
  'connection-lost': text('the connection broke without a goodbye', '连接中断，没有任何告别'),
  'connect-timeout': text('the server did not answer within 5 s', '服务器 5 秒内没有应答'),
  'connect-failed': text('the browser refused to open the socket', '浏览器拒绝打开连接'),
  'no-token': text('the server gave no token', '服务器没有给出令牌'),
  'no-answer': text('the server did not answer a ping within 2 s', '服务器 2 秒内没有回应心跳'),
  'page-hidden': text('the page was left', '页面已离开'),
  'page-shown': text('the page is shown again', '页面重新显示'),
  closed: text('this page closed it', '由本页面关闭'),
  aborted: text('this page has ended it', '由本页面结束'),
  replaced: text('a newer connection of this user took over (4001)', '该用户的新连接接管了会话（4001）'),
  'heartbeat-timeout': text('no heartbeat came for too long (4100)', '心跳超时（4100）'),
  'read-timeout': text('no byte came for too long (4100)', '长时间没有数据（4100）'),
  logout: text('the user was logged out (4000)', '用户已登出（4000）'),
  kick: text('the service kicked the user (4002)', '服务端将用户踢下线（4002）'),
  'token-expired': text('the token has expired (4003)', '令牌已过期（4003）'),
  'token-revoked': text('the token was revoked (4003)', '令牌已被吊销（4003）'),
  shutdown: text('the server is stopping or restarting (1012)', '服务器正在停止或重启（1012）'),
  'presence-lost': text('the node lost its presence lease (4102)', '节点失去在线租约（4102）'),
  'slow-consumer': text('this page took no data for too long (4101)', '本页面长时间不接收数据（4101）'),
  'policy-violation': text('this page sent too much (1008)', '本页面发送过多（1008）'),
};

export function reasonText(reason: string): Text {
  const known = Object.hasOwn(REASONS, reason) ? REASONS[reason] : undefined;
  if (known !== undefined) return known;
  if (Object.hasOwn(ERRORS, reason)) return ERRORS[reason as keyof typeof ERRORS];
  const shown = isolated(reason);
  return text(shown, shown);
}

const STATUSES: Readonly<Record<State['status'], Text>> = {
  connecting: text('Connecting', '正在连接'),
  open: text('Connected', '已连接'),
  waiting: text('Waiting to try again', '等待重试'),
  paused: text('Paused', '已暂停'),
  closed: text('Closed', '已关闭'),
};

export function statusText(status: State['status']): Text {
  return STATUSES[status];
}

/** Why the user was logged out. */
export function logoutText(cause: string): Text {
  if (cause === '') return text('the node had died', '节点曾经失效');
  return text(
    visibleText(causeText(LOGOUTS, cause, 'en'), 160),
    visibleText(causeText(LOGOUTS, cause, 'zh'), 160),
  );
}

export function seconds(ms: number): number {
  return Math.max(0, Math.round(ms / 1000));
}

export function clock(at: number): string {
  return new Date(at).toLocaleTimeString('en-GB');
}
