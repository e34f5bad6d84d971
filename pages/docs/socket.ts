/** Largest number of shown frames, the newest first. */
const MAX_FRAMES = 200;
const MAX_FRAME = 4_000;

/** A form for a socket: opens it with the credential, shows each frame, sends the typed text. */
export function prepareSocket(credential: () => string): void {
  const form = document.querySelector<HTMLFormElement>('#socket');
  const sending = document.querySelector<HTMLFormElement>('#frame');
  const frames = document.querySelector<HTMLOListElement>('#frames');
  if (form === null || sending === null || frames === null) return;
  let socket: WebSocket | undefined;
  const say = (text: string): void => {
    const line = document.createElement('li');
    line.textContent = `${new Date().toLocaleTimeString('en-GB')} ${text.slice(0, MAX_FRAME)}`;
    frames.prepend(line);
    while (frames.children.length > MAX_FRAMES) frames.lastElementChild?.remove();
  };
  const shown = (isOpen: boolean): void => {
    for (const button of form.querySelectorAll('button'))
      button.disabled = (button.value === 'open') === isOpen;
    for (const button of sending.querySelectorAll('button')) button.disabled = !isOpen;
  };
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    if (event.submitter instanceof HTMLButtonElement && event.submitter.value === 'close') {
      socket?.close(1000);
      return;
    }
    const isSeed = form.querySelector('select')?.value === 'seed';
    try {
      socket = open(credential(), isSeed);
    } catch (error) {
      return say(`! ${error instanceof Error ? error.message : String(error)}`);
    }
    shown(true);
    socket.addEventListener('open', () => say('· open'));
    socket.addEventListener('message', ({ data }) => say(`← ${String(data)}`));
    socket.addEventListener('close', ({ code, reason }) => {
      say(`· closed ${code} ${reason}${code === 1006 ? '(no close frame: refused, or the network)' : ''}`);
      shown(false);
    });
  });
  sending.addEventListener('submit', (event) => {
    event.preventDefault();
    const text = sending.querySelector('textarea')?.value ?? '';
    if (socket?.readyState !== WebSocket.OPEN) return say('! the socket is not open');
    socket.send(text);
    say(`→ ${text}`);
  });
  shown(false);
}

function open(token: string, isSeed: boolean): WebSocket {
  const url = new URL('./ws', location.href);
  url.protocol = url.protocol.replace('http', 'ws');
  if (!isSeed) return new WebSocket(url, ['lingxi.v1', `bearer.${token}`]);
  url.searchParams.set('token', token);
  return new WebSocket(url);
}
