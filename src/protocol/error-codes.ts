/** The languages in which an error sentence exists. */
export type Language = 'en' | 'zh';

/** A text in both languages. */
export type Bilingual = Readonly<Record<Language, string>>;

interface ErrorText extends Bilingual {
  /** The HTTP status of the code. */
  readonly status: number;
}

/**
 * Every stable error code with its HTTP status and its sentence. The place that raises a code may use a more exact sentence; the
 * meaning of a code never changes.
 */
export const ERRORS = {
  'invalid-request': { status: 400, en: 'The request is malformed.', zh: '请求格式不正确。' },
  'invalid-json': { status: 400, en: 'The body is not valid JSON.', zh: '请求体不是合法的 JSON。' },
  'invalid-body': {
    status: 400,
    en: 'The body does not have the expected shape.',
    zh: '请求体的结构不符合要求。',
  },
  'invalid-user-id': {
    status: 400,
    en: 'The user id must be an unsigned integer below 2^53 without sign or leading zero.',
    zh: '用户 ID 必须是小于 2^53 的无符号整数，不带符号和前导零。',
  },
  'missing-credentials': {
    status: 400,
    en: 'No token was sent. Send it as "Authorization: Bearer <token>" or offer the subprotocols "lingxi.v1, bearer.<token>".',
    zh: '缺少令牌。请使用 “Authorization: Bearer <token>” 或子协议 “lingxi.v1, bearer.<token>” 发送。',
  },
  'missing-subprotocol': {
    status: 400,
    en: 'A "bearer." subprotocol needs "lingxi.v1" beside it: the server must select one it may echo.',
    zh: '使用 “bearer.” 子协议时必须同时提供 “lingxi.v1”。',
  },
  'bad-handshake': {
    status: 400,
    en: 'This is not a valid WebSocket handshake.',
    zh: 'WebSocket 握手无效。',
  },
  unauthorized: {
    status: 401,
    en: 'Credentials are missing. Send "Authorization: Bearer <token or service key>".',
    zh: '缺少凭证。请发送 “Authorization: Bearer <令牌或服务密钥>”。',
  },
  'invalid-token': { status: 401, en: 'The token is invalid or has expired.', zh: '令牌无效或已过期。' },
  forbidden: { status: 403, en: 'These credentials do not allow this.', zh: '该凭证无权执行此操作。' },
  'origin-not-allowed': {
    status: 403,
    en: 'This origin is not in LINGXI_ALLOWED_ORIGINS.',
    zh: '该来源不在 LINGXI_ALLOWED_ORIGINS 中。',
  },
  'user-mismatch': {
    status: 403,
    en: 'The token belongs to another user than the one named.',
    zh: '令牌所属用户与指定的用户不一致。',
  },
  blocked: { status: 403, en: 'This user is blocked for now.', zh: '该用户暂时被禁止连接。' },
  'not-found': { status: 404, en: 'There is nothing at this address.', zh: '该地址不存在。' },
  'unknown-user': { status: 404, en: 'This user does not exist.', zh: '用户不存在。' },
  'unhandled-type': {
    status: 404,
    en: 'Nobody takes messages of this type.',
    zh: '没有程序处理此类型的消息。',
  },
  'not-online': { status: 404, en: 'This user is not online.', zh: '玩家不在线。' },
  'method-not-allowed': { status: 405, en: 'This method is not supported here.', zh: '不支持该请求方法。' },
  'session-exists': {
    status: 409,
    en: 'This user is already connected and may not open another connection.',
    zh: '该用户已有连接，不能再建立新的连接。',
  },
  'session-flapping': {
    status: 409,
    en: 'This user was taken over too often in a minute; the present connection stays.',
    zh: '该用户的连接在一分钟内被反复顶替，当前连接保持不变。',
  },
  'settlement-refused': {
    status: 409,
    en: 'The database refuses the login of this user, and will again: the log of the server names the cause.',
    zh: '数据库拒绝该用户登录，重试也不会成功，原因见服务器日志。',
  },
  'idempotency-key-reused': {
    status: 409,
    en: 'This idempotency key was used for another message within the last 5 minutes; nothing was delivered. Take a new key.',
    zh: '该幂等键在过去 5 分钟内已用于另一条消息，本次未投递任何内容，请使用新的幂等键。',
  },
  'node-ambiguous': {
    status: 409,
    en: 'More than one living node has this name: give its incarnation, as GET /api/nodes shows it.',
    zh: '有多个存活节点使用该名称，请指定 GET /api/nodes 中的 incarnation。',
  },
  'cursor-expired': {
    status: 410,
    en: 'Entries after this cursor are gone: read who is online and start the feed anew.',
    zh: '该游标之后的记录已被清除，请重新读取在线列表并从头订阅。',
  },
  'payload-too-large': {
    status: 413,
    en: 'The body is larger than LINGXI_MAX_BODY_BYTES.',
    zh: '请求体超过 LINGXI_MAX_BODY_BYTES。',
  },
  'upgrade-required': {
    status: 426,
    en: 'This address speaks WebSocket: connect with a WebSocket client.',
    zh: '该地址仅支持 WebSocket，请使用 WebSocket 客户端连接。',
  },
  'rate-limited': {
    status: 429,
    en: 'Too many requests. Try again later.',
    zh: '请求过于频繁，请稍后再试。',
  },
  'headers-too-large': { status: 431, en: 'The request headers are too large.', zh: '请求头过大。' },
  internal: { status: 500, en: 'The server met an unexpected condition.', zh: '服务器内部错误。' },
  overloaded: {
    status: 503,
    en: 'The server can take no more connections now. Try again later.',
    zh: '服务器暂时无法接受更多连接，请稍后再试。',
  },
  draining: { status: 503, en: 'The server is draining. Connect again.', zh: '服务器正在下线，请重新连接。' },
  'presence-unavailable': {
    status: 503,
    en: 'The presence store is unreachable. Try again later.',
    zh: '在线状态存储暂时不可用，请稍后再试。',
  },
  'settlement-unavailable': {
    status: 503,
    en: 'The database does not answer, or did not take this in time. Try again later.',
    zh: '数据库暂时不可用，或未能及时完成写入，请稍后再试。',
  },
  'credentials-unavailable': {
    status: 503,
    en: 'The keys that verify this token cannot be fetched now. Try again later.',
    zh: '暂时无法获取用于验证该令牌的密钥，请稍后再试。',
  },
  'inbound-unavailable': {
    status: 503,
    en: 'The server could not store this message. Send it again later.',
    zh: '服务器未能保存该消息，请稍后重新发送。',
  },
  'revocation-unavailable': {
    status: 503,
    en: 'The revocation holds on this node, but the store did not take it yet: other nodes, and this one after a restart, may not know it. Ask again.',
    zh: '吊销仅在当前节点生效，存储尚未确认，其他节点或重启后可能不知道此次吊销，请重试。',
  },
  'node-silent': {
    status: 504,
    en: 'The node did not answer in time: it may have done this, or not. See GET /api/nodes.',
    zh: '该节点未在限定时间内应答，操作可能已执行，也可能未执行，请查看 GET /api/nodes。',
  },
} as const satisfies Record<string, ErrorText>;

export type ErrorCode = keyof typeof ERRORS;

/** The body of every HTTP error. */
export interface ErrorBody {
  readonly error: string;
  readonly code: ErrorCode;
}

/** Sentences that replace the sentence of a code if that one would mislead. The code stays the same. */
export const EXACT_SENTENCES = {
  /** `unknown-user`: the user may exist. */
  'never-online': {
    en: 'Nothing is known of this user: never online here, or no longer remembered.',
    zh: '没有该用户的在线记录：从未上线，或记录已被清除。',
  },
  /** `not-found`: the address is correct. */
  'no-such-node': {
    en: 'No living node has this name: see GET /api/nodes.',
    zh: '没有使用该名称的存活节点，请查看 GET /api/nodes。',
  },
  /** `overloaded`: the cause is not the number of connections. */
  'too-many-keys': {
    en: 'Too many idempotency keys were used within the last 5 minutes; nothing was delivered. Try again later.',
    zh: '过去 5 分钟内使用的幂等键过多，本次未投递任何内容，请稍后再试。',
  },
  /** `presence-unavailable`: the meaning for a push with an idempotency key. */
  'keys-unavailable': {
    en: 'The store that knows the idempotency keys does not answer; nothing was delivered. Try again later with the same key.',
    zh: '记录幂等键的存储暂时不可用，本次未投递任何内容，请稍后使用相同的幂等键重试。',
  },
  /** `forbidden`: the caller has a view key. */
  'read-only-key': {
    en: 'This key is read-only: it may not change anything. Use the service key (LINGXI_API_KEY).',
    zh: '该密钥为只读密钥，不能执行任何更改，请使用服务密钥（LINGXI_API_KEY）。',
  },
  /** `invalid-body`: the request may have no body. */
  'wrong-query': { en: 'The query is wrong.', zh: '查询参数不符合要求。' },
  'wrong-header': { en: 'A header of the request is wrong.', zh: '请求头不符合要求。' },
  /** `invalid-token`: the reason. */
  'not-signed-here': {
    en: 'No key of this server verifies this token: another key signed it, it was changed, or it is no token.',
    zh: '本服务器的密钥无法验证该令牌：令牌由其他密钥签名、被改动过，或根本不是令牌。',
  },
  'no-bearer': {
    en: 'The header "Authorization" does not have the form "Bearer <token or service key>".',
    zh: '请求头 “Authorization” 的格式不是 “Bearer <令牌或服务密钥>”。',
  },
  'token-expired': { en: 'The token has expired.', zh: '令牌已过期。' },
  'token-not-yet-valid': {
    en: 'The token is not valid yet: its "nbf" is ahead of the clock of this server.',
    zh: '令牌尚未生效：其 “nbf” 晚于服务器时间。',
  },
  'token-revoked': { en: 'The token was revoked.', zh: '令牌已被吊销。' },
  'malformed-time': {
    en: 'The claims "exp", "nbf" and "iat" of the token must be numbers of seconds.',
    zh: '令牌的 “exp”、“nbf” 和 “iat” 声明必须是以秒为单位的数字。',
  },
  'wrong-issuer': {
    en: 'The claim "iss" of the token is not the JWT_ISSUER of this server.',
    zh: '令牌的 “iss” 声明与服务器的 JWT_ISSUER 不一致。',
  },
  'wrong-audience': {
    en: 'The claim "aud" of the token does not name the JWT_AUDIENCE of this server.',
    zh: '令牌的 “aud” 声明不包含服务器的 JWT_AUDIENCE。',
  },
  'two-user-ids': {
    en: 'The claims "sub" and "id" of the token must name the same user, by an unsigned integer below 2^53.',
    zh: '令牌的 “sub” 和 “id” 声明必须是同一个用户 ID（小于 2^53 的无符号整数）。',
  },
  'void-ticket': {
    en: 'This ticket was used or has expired, or there never was such a ticket.',
    zh: '该票据已使用、已过期，或从未存在。',
  },
  /** `invalid-user-id`, `invalid-token`: the fault is in the token, not in the request. */
  'no-user-id': {
    en: 'The token names no user: its claim "sub" (or "id") must be an unsigned integer below 2^53 without sign or leading zero.',
    zh: '令牌中没有用户：其 “sub”（或 “id”）声明必须是小于 2^53 的无符号整数，不带符号和前导零。',
  },
  /** `invalid-token`: the fault is in its claim `groups`. */
  'no-group-list': {
    en: 'The claim "groups" of the token is no list. It must be a list of group names.',
    zh: '令牌的 “groups” 声明不是列表，必须是组名列表。',
  },
  'bad-group-name': {
    en: 'The claim "groups" of the token has a name that no group can have. Each name must have 1 to 64 of A-Z a-z 0-9 _ . : -',
    zh: '令牌的 “groups” 声明中有无效的组名。每个组名须为 1 到 64 个字符：A-Z a-z 0-9 _ . : -',
  },
  'too-many-groups': {
    en: 'The claim "groups" of the token names more groups than LINGXI_MAX_GROUPS_PER_USER allows.',
    zh: '令牌的 “groups” 声明中的组数超过了 LINGXI_MAX_GROUPS_PER_USER。',
  },
  /** `missing-credentials`, if `LINGXI_QUERY_TOKEN` is on. */
  'no-token': {
    en: 'No token was sent. Send it as "?token=<token>", as "Authorization: Bearer <token>", or offer the subprotocols "lingxi.v1, bearer.<token>".',
    zh: '缺少令牌。请使用 “?token=<token>”、“Authorization: Bearer <token>” 或子协议 “lingxi.v1, bearer.<token>” 发送。',
  },
} as const satisfies Record<string, Bilingual>;

/** Makes the sentence of a code more exact. */
export interface Exactness {
  /** Replaces the sentence of the code. */
  readonly sentence?: keyof typeof EXACT_SENTENCES;
  /** Appended to the sentence. */
  readonly detail?: Bilingual;
}

/** The answer body for `code` in `language`. */
export function errorBody(code: ErrorCode, language: Language, exact: Exactness = {}): ErrorBody {
  const { sentence, detail } = exact;
  const text = sentence === undefined ? ERRORS[code][language] : EXACT_SENTENCES[sentence][language];
  if (detail === undefined) return { error: text, code };
  // A Chinese sentence ends with a full-width mark, so no space follows it.
  return { error: `${text}${language === 'zh' ? '' : ' '}${detail[language]}`, code };
}

export function errorStatus(code: ErrorCode): number {
  return ERRORS[code].status;
}
