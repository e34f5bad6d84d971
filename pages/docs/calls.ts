const LIMIT_MS = 30_000;
/** Largest number of shown characters of a body. */
const MAX_SHOWN = 200_000;

/** Makes the form of each operation send its call, and shows the answer. */
export function prepareCalls(credential: () => string): void {
  for (const form of document.querySelectorAll<HTMLFormElement>('form.try')) {
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      void send(form, credential());
    });
  }
}

async function send(form: HTMLFormElement, credential: string): Promise<void> {
  const answer = form.querySelector('pre');
  const button = form.querySelector('button');
  if (answer === null || button === null) return;
  const { method = 'get' } = form.dataset;
  button.disabled = true;
  answer.hidden = false;
  answer.textContent = '…';
  const began = performance.now();
  try {
    const body = form.querySelector('textarea')?.value.trim() ?? '';
    const response = await fetch(addressOf(form), {
      method: method.toUpperCase(),
      cache: 'no-store',
      headers: {
        ...(credential === '' ? {} : { authorization: `Bearer ${credential}` }),
        ...(body === '' ? {} : { 'content-type': 'application/json' }),
      },
      signal: AbortSignal.timeout(LIMIT_MS),
      ...(body === '' ? {} : { body }),
    });
    const text = await response.text();
    const ms = Math.round(performance.now() - began);
    const headers = [...response.headers].map(([name, value]) => `${name}: ${value}`).join('\n');
    answer.textContent = `${response.status} ${response.statusText} (${ms} ms)\n${headers}\n\n${readable(text)}`;
  } catch (error) {
    answer.textContent = `No answer: ${error instanceof Error ? error.message : String(error)}`;
  } finally {
    button.disabled = false;
  }
}

/** Relative to the page, because a proxy may serve both under another path. */
function addressOf(form: HTMLFormElement): URL {
  let path = form.dataset['path'] ?? '/';
  const query = new URLSearchParams();
  for (const { value, dataset } of form.querySelectorAll<HTMLInputElement>('input[data-in]')) {
    const name = dataset['name'] ?? '';
    if (dataset['in'] === 'path') path = path.replace(`{${name}}`, encodeURIComponent(value));
    else if (value !== '') query.set(name, value);
  }
  const url = new URL(`.${path}`, location.href);
  url.search = query.toString();
  return url;
}

function readable(text: string): string {
  const shown = text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}\n… (${text.length} characters)` : text;
  try {
    return JSON.stringify(JSON.parse(shown), undefined, 2);
  } catch {
    return shown;
  }
}
