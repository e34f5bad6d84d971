import { escapeHtml } from './escape-html.ts';
import type { OpenApiDocument } from './openapi.ts';

type Json = Readonly<Record<string, unknown>>;

/** Greatest depth of an example. A schema may refer to itself. */
const MAX_DEPTH = 6;

/** All forms are hidden until the script of the page shows them. */
const FORM = 'data-script hidden';

/** The field for the credential of all calls. */
export function renderTokenForm(isDevelopment: boolean): string {
  const dev = `<form id="dev-token" ${FORM}><label>Token for the user (development)<input inputmode="numeric" value="1" required></label><button>Get a token</button><output></output></form>`;
  return `<section class="panel" ${FORM} aria-labelledby="try-it"><h2 id="try-it">Try it</h2><p>Each call below can be sent from here.</p><label>Service key or user token. It stays in the memory of this page.<input id="credential" type="password" autocomplete="off" spellcheck="false"></label>${isDevelopment ? dev : ''}</section>`;
}

/** A form that opens a socket. */
export function renderSocketForm(): string {
  return `<section class="panel" ${FORM} aria-labelledby="open-socket"><h2 id="open-socket">Open a socket</h2><form id="socket"><label>Protocol<select><option value="lingxi.v1">lingxi.v1</option><option value="seed">seed (token in the address; send pings)</option></select></label><span><button value="open">Open with the token above</button> <button value="close" disabled>Close</button></span></form><form id="frame"><label>Frame<textarea rows="2" spellcheck="false">{"type":"ping","timestamp":1}</textarea></label><button disabled>Send</button></form><ol id="frames" tabindex="0" aria-label="Frames, the newest first"></ol></section>`;
}

/** The form that sends one call. */
export function renderTry(
  document: OpenApiDocument,
  { method, path, operation }: { readonly method: string; readonly path: string; readonly operation: Json },
): string {
  // A browser opens a socket by another API.
  if (path === '/ws') return '';
  const parameters = (operation['parameters'] as readonly Json[] | undefined) ?? [];
  const fields = parameters.map((parameter) => {
    const name = escapeHtml(parameter['name']);
    const required = parameter['required'] === true ? ' required' : '';
    return `<label>${name}<input data-in="${escapeHtml(parameter['in'])}" data-name="${name}" autocomplete="off"${required}></label>`;
  });
  const content = (operation['requestBody'] as Json | undefined)?.['content'];
  const schema = (content as Readonly<Record<string, Json>> | undefined)?.['application/json']?.['schema'];
  const body =
    schema === undefined
      ? ''
      : `<label>Body<textarea rows="4" spellcheck="false">${escapeHtml(JSON.stringify(exampleOf(document, schema)))}</textarea></label>`;
  return `<form class="try" ${FORM} data-method="${method}" data-path="${escapeHtml(path)}">${fields.join('')}${body}<button>Send</button><pre hidden tabindex="0" aria-live="polite"></pre></form>`;
}

/** An example value for a schema: only its required fields. */
export function exampleOf(document: OpenApiDocument, schema: unknown, depth = 0): unknown {
  const { $ref, type, properties, required, items, anyOf, oneOf, ...rest } = (schema ?? {}) as Json;
  if (depth > MAX_DEPTH) return null;
  if (typeof $ref === 'string') {
    const name = $ref.split('/').at(-1) ?? '';
    return exampleOf(document, document.components?.schemas?.[name], depth + 1);
  }
  for (const name of ['example', 'default', 'const']) if (name in rest) return rest[name];
  const [choice] = (anyOf ?? oneOf ?? rest['enum'] ?? []) as readonly unknown[];
  if (choice !== undefined) return 'enum' in rest ? choice : exampleOf(document, choice, depth + 1);
  switch (Array.isArray(type) ? (type as readonly unknown[])[0] : type) {
    case 'object': {
      const names = (required ?? []) as readonly string[];
      const fields = (properties ?? {}) as Json;
      return Object.fromEntries(names.map((name) => [name, exampleOf(document, fields[name], depth + 1)]));
    }
    case 'array':
      return items === undefined ? [] : [exampleOf(document, items, depth + 1)];
    case 'integer':
    case 'number':
      return Math.max(1, Number(rest['minimum'] ?? 1));
    case 'boolean':
      return true;
    case 'null':
      return null;
    case 'string':
      return 'text';
    default:
      return {};
  }
}
