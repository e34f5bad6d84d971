import type { CloseCause } from './close-codes.ts';
import type { Language } from './error-codes.ts';
import type { LogoutReason } from './reasons.ts';

type Sentence = Readonly<Record<Language, string>>;

/** An event of a user, as the timeline stores it. */
export interface TimelineEntry {
  readonly event: string;
  readonly cause: string;
  /** The reason that the service gave for a kick. */
  readonly reason: string | undefined;
}

/** Why a period ended. */
export const LOGOUTS: Readonly<Record<LogoutReason, Sentence>> = {
  logout: {
    en: 'the user logged out (the client said so, or a call to /api/online/logout)',
    zh: '用户主动退出（客户端发送 logout，或调用 /api/online/logout）',
  },
  kick: { en: 'the service kicked the user', zh: '服务端将用户踢下线' },
  timeout: {
    en: 'the user gave no sign of life for the heartbeat timeout and did not come back in time',
    zh: '用户超过心跳超时没有任何活动，也没有及时重连',
  },
  'node-lost': {
    en: 'the node of the user died, and the user did not come back to another node in time',
    zh: '用户所在节点失效，用户没有及时重连到其他节点',
  },
  reconciled: {
    en: 'presence lost the period (Redis lost its data, or every node was away), so it was closed from SQL',
    zh: '在线状态丢失（Redis 数据丢失或所有节点停机），由 SQL 补记下线',
  },
};

/** Why a socket closed. After each of these, the user lingers for the heartbeat timeout. */
const CLOSES: Readonly<Record<CloseCause | 'abandoned', Sentence>> = {
  'client-closed': { en: 'the client closed the connection', zh: '客户端关闭了连接' },
  'connection-lost': {
    en: 'the connection broke without a goodbye: the network, or the end of the client program',
    zh: '连接异常断开：网络中断或客户端程序结束',
  },
  'transport-error': { en: 'the connection failed while it was in use', zh: '连接在使用中出错' },
  'heartbeat-timeout': {
    en: 'no sign of life came for the heartbeat timeout, so the server closed the connection (4100)',
    zh: '超过心跳超时没有任何活动，服务器关闭了连接（4100）',
  },
  'read-timeout': {
    en: 'no byte came for LINGXI_READ_TIMEOUT_MS, so the server closed the connection (4100)',
    zh: '超过 LINGXI_READ_TIMEOUT_MS 没有收到任何数据，服务器关闭了连接（4100）',
  },
  'slow-consumer': {
    en: 'the client took no data for too long, so the server closed the connection (4101)',
    zh: '客户端长时间不读取数据，服务器关闭了连接（4101）',
  },
  replaced: { en: 'a newer connection of the user took over (4001)', zh: '被该用户的新连接顶替（4001）' },
  logout: { en: 'the user logged out (4000)', zh: '用户退出（4000）' },
  kick: { en: 'the service kicked the user (4002)', zh: '服务端将用户踢下线（4002）' },
  'token-expired': { en: 'the token of the connection ran out (4003)', zh: '连接的令牌已过期（4003）' },
  'token-revoked': { en: 'the token of the connection was revoked (4003)', zh: '连接的令牌已被吊销（4003）' },
  'policy-violation': {
    en: 'the client broke a limit or sent what it must not, so the server closed the connection (1008)',
    zh: '客户端超出限制或发送了不允许的内容，服务器关闭了连接（1008）',
  },
  'presence-lost': {
    en: 'the node lost its lease, and the period ended meanwhile (4102)',
    zh: '节点失去租约，期间在线状态已结束（4102）',
  },
  'internal-error': {
    en: 'the server met a bug while it handled the connection (1011): see its log',
    zh: '服务器处理连接时出现内部错误（1011），请查看日志',
  },
  shutdown: {
    en: 'the node was stopped or drained, and asked the client to connect again (1012)',
    zh: '节点停机或下线，已要求客户端重连（1012）',
  },
  abandoned: {
    en: 'the client left before its connection was open',
    zh: '客户端在连接建立完成前已离开',
  },
};

const RELEASES: Readonly<Record<string, Sentence>> = {
  timeout: {
    en: 'this node has nothing of the user any more, but another node still has',
    zh: '该节点不再持有该用户，其他节点仍然持有',
  },
  'node-lost': {
    en: 'this node died, but another node still has the user',
    zh: '该节点失效，其他节点仍然持有该用户',
  },
};

/** One entry as a plain sentence, without its time and node. */
export function sentenceOf({ event, cause, reason }: TimelineEntry, language: Language): string {
  const note = reason === undefined ? '' : language === 'zh' ? `，说明：${reason}` : `, and said: ${reason}`;
  return `${headOf(event, cause, language)}${note}`;
}

function headOf(event: string, cause: string, language: Language): string {
  const isZh = language === 'zh';
  switch (event) {
    case 'online':
      return isZh ? '上线：用户登录' : 'Online: the user logged in';
    case 'connected':
      return isZh ? '用户又建立了一个连接' : 'One more connection of the user opened';
    case 'replaced':
      return isZh ? '用户的新连接接管了会话' : 'A newer connection took the user over';
    case 'disconnected':
      return `${isZh ? '连接关闭：' : 'A connection closed: '}${causeText(CLOSES, cause, language)}`;
    case 'released':
      return `${isZh ? '节点释放：' : 'Given up here: '}${causeText(RELEASES, cause, language)}`;
    case 'offline':
      return `${isZh ? '下线：' : 'Offline: '}${causeText(LOGOUTS, cause, language)}`;
    default:
      return `${event}: ${cause}`;
  }
}

/** The sentence of a cause. A newer server may know more causes than this program; those are shown unchanged. */
export function causeText(
  texts: Readonly<Record<string, Sentence>>,
  cause: string,
  language: Language,
): string {
  return Object.hasOwn(texts, cause) ? (texts[cause]?.[language] ?? cause) : cause;
}
