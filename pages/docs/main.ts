import { prepareCalls } from './calls.ts';
import { prepareSocket } from './socket.ts';

/** The service key or a token. It stays only in memory, and ends with the page. */
const credential = document.querySelector<HTMLInputElement>('#credential');
const value = (): string => credential?.value.trim() ?? '';

prepareCalls(value);
prepareSocket(value);
prepareToken();
for (const element of document.querySelectorAll<HTMLElement>('[data-script]')) element.hidden = false;

/** In development the server gives a token for any user. */
function prepareToken(): void {
  const form = document.querySelector<HTMLFormElement>('#dev-token');
  form?.addEventListener('submit', (event) => {
    event.preventDefault();
    void fetchToken(form);
  });
}

async function fetchToken(form: HTMLFormElement): Promise<void> {
  const said = form.querySelector('output');
  const say = (text: string): void => {
    if (said !== null) said.textContent = text;
  };
  try {
    const user = form.querySelector('input')?.value ?? '';
    const answer = await fetch(new URL(`./dev/token?userId=${encodeURIComponent(user)}`, location.href));
    const body = (await answer.json()) as { readonly token?: unknown; readonly error?: unknown };
    if (typeof body.token === 'string' && credential !== null) credential.value = body.token;
    say(typeof body.token === 'string' ? 'The token stands in the field above.' : String(body.error));
  } catch (error) {
    say(`No token: ${String(error)}`);
  }
}
