import type { State } from '../../src/client/types.ts';
import type { Answer } from './ask.ts';
import { type Line, livingScene, type Scene } from './view.ts';
import { reasonText, seconds, type Text, text } from './words.ts';

type Said = readonly [said: Text, tone?: Line['tone']];

/** The meaning of a new connection for the reader. */
export function openSentence(
  { reason }: State,
  {
    scene,
    takesOver,
    timeoutMs,
  }: { readonly scene: Scene; readonly takesOver: boolean; readonly timeoutMs: number },
): Said {
  if (livingScene(scene).name === 'silent')
    return [
      text(
        `Connected, and silent. In ${seconds(timeoutMs)} s the server gives up on you.`,
        `已连接，但保持沉默。${seconds(timeoutMs)} 秒后服务器会放弃等待。`,
      ),
    ];
  if (reason !== 'resumed')
    return [
      text(
        'You came online. Spirit grows on the server from now on.',
        '你上线了。灵力从现在起在服务器上增长。',
      ),
      'good',
    ];
  if (takesOver)
    return [
      text(
        'This tab took over. Another connection of yours was open, in another tab for example, and the server closed it (4001). You stayed online.',
        '本标签页接管了会话。你的另一个连接（例如在另一个标签页里）原本开着，服务器已将它关闭（4001）。你一直在线。',
      ),
      'good',
    ];
  if (scene.name === 'killed')
    return [
      text(
        'The node is back. It found in SQL that you were online, and waited for you: you were never logged out.',
        '节点恢复了。它从 SQL 得知你在线并等待你返回：你从未被登出。',
      ),
      'good',
    ];
  return [
    text(
      'You are back in time. For the server you never left: no logout, nothing to settle.',
      '你及时回来了。在服务器看来你从未离开：没有登出，也无需结算。',
    ),
    'good',
  ];
}

/** Why the server wants this page to stay away. */
export function closedSentence({ reason, code }: State): Said {
  if (code === 4001)
    return [
      text(
        'Another tab took over (4001). A user has one connection, the newest. This tab stays away, so that the two do not close each other’s connection in turn.',
        '另一个标签页接管了会话（4001）。每个用户只保留最新的连接。本页不再重连，以免两个标签页互相顶替。',
      ),
      'warn',
    ];
  return [
    text(
      `The server closed the connection for good: ${reasonText(reason).en}.`,
      `服务器永久关闭了连接：${reasonText(reason).zh}。`,
    ),
    'bad',
  ];
}

/** Why there is no answer. */
export function problemText(answer: Answer): Text {
  if (answer.kind !== 'refused')
    return text(
      'The server does not answer: it is gone, busy or restarting.',
      '服务器没有应答：它已停止、繁忙或正在重启。',
    );
  if (answer.sentence !== '') return text(answer.sentence, answer.sentence);
  return text(
    `The server refuses with ${answer.status} and says nothing more.`,
    `服务器拒绝（${answer.status}），没有更多说明。`,
  );
}
