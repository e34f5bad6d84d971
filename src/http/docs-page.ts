import type { OpenApiDocument } from './openapi.ts';

type Json = Readonly<Record<string, unknown>>;

const METHODS = ['get', 'post', 'put', 'patch', 'delete'] as const;

const STYLE = `
:root{color-scheme:light dark;--line:#8884;--soft:#8881}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{margin-bottom:0}h2{margin-top:2.5rem;border-bottom:1px solid var(--line)}
details{border:1px solid var(--line);border-radius:6px;margin:.5rem 0;padding:.4rem .8rem}
summary{cursor:pointer}summary code{font-weight:600}
.method{display:inline-block;min-width:3.5rem;font:600 .8rem ui-monospace,monospace}
.who{float:right;font-size:.8rem;opacity:.75}
code,pre{font-family:ui-monospace,monospace;font-size:.88rem}
pre{background:var(--soft);padding:.6rem;border-radius:6px;overflow-x:auto}
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.25rem .6rem;border-bottom:1px solid var(--line)}
`;

/** The description of the interface as one page without scripts or foreign resources. */
export function renderDocsPage(document: OpenApiDocument): string {
  const tags = (document.tags ?? []).map((tag) => tag.name);
  const operations = operationsOf(document);
  const sections = tags.map((tag) => {
    const own = operations.filter((operation) => operation.tag === tag);
    return own.length === 0
      ? ''
      : `<h2>${escapeHtml(tag)}</h2>${own.map((operation) => operation.html).join('')}`;
  });
  const schemas = Object.entries(document.components?.schemas ?? {}).map(
    ([name, schema]) =>
      `<details id="${escapeHtml(name)}"><summary><code>${escapeHtml(name)}</code></summary>${pre(schema)}</details>`,
  );
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Lingxi API</title><style>${STYLE}</style></head><body><h1>Lingxi API</h1><p>${escapeHtml(document.info.version)} · <a href="/openapi.json">openapi.json</a></p><p>${prose(document.info.description)}</p>${sections.join('')}<h2>Schemas</h2>${schemas.join('')}</body></html>`;
}

function operationsOf(document: OpenApiDocument): { readonly tag: string; readonly html: string }[] {
  return Object.entries(document.paths ?? {}).flatMap(([path, item]) =>
    METHODS.flatMap((method) => {
      const operation = (item as Readonly<Record<string, Json | undefined>>)[method];
      if (operation === undefined) return [];
      const [tag] = operation['tags'] as readonly string[];
      return [{ tag: tag ?? '', html: renderOperation(method, path, operation) }];
    }),
  );
}

function renderOperation(method: string, path: string, operation: Json): string {
  const body = (operation['requestBody'] as Json | undefined)?.['content'];
  const parts = [
    `<summary><span class="method">${method.toUpperCase()}</span><code>${escapeHtml(path)}</code> <span class="who">${who(operation)}</span><br>${prose(operation['summary'])}</summary>`,
    operation['description'] === undefined ? '' : `<p>${prose(operation['description'])}</p>`,
    renderParameters((operation['parameters'] as readonly Json[] | undefined) ?? []),
    body === undefined ? '' : `<h4>Body</h4>${renderContent(body)}`,
    renderResponses((operation['responses'] as Readonly<Record<string, Json>> | undefined) ?? {}),
  ];
  return `<details>${parts.join('')}</details>`;
}

function who(operation: Json): string {
  const names = ((operation['security'] as readonly Json[] | undefined) ?? []).flatMap((entry) =>
    Object.keys(entry),
  );
  if (names.length === 0) return 'anyone';
  return names.map((name) => (name === 'userToken' ? 'user token' : 'service key')).join(' or ');
}

function renderParameters(parameters: readonly Json[]): string {
  if (parameters.length === 0) return '';
  const rows = parameters.map(
    (parameter) =>
      `<tr><td><code>${escapeHtml(parameter['name'])}</code></td><td>${escapeHtml(parameter['in'])}</td><td>${parameter['required'] === true ? 'required' : ''}</td><td>${prose((parameter['schema'] as Json | undefined)?.['description'])}</td></tr>`,
  );
  return `<h4>Parameters</h4><table>${rows.join('')}</table>`;
}

function renderResponses(responses: Readonly<Record<string, Json>>): string {
  const rows = Object.entries(responses).map(([status, response]) => {
    const content = status === '200' ? renderContent(response['content']) : '';
    return `<tr><td><code>${escapeHtml(status)}</code></td><td>${prose(response['description'])}${content}</td></tr>`;
  });
  return rows.length === 0 ? '' : `<h4>Answers</h4><table>${rows.join('')}</table>`;
}

function renderContent(content: unknown): string {
  const schema = (content as Readonly<Record<string, Json>> | undefined)?.['application/json']?.['schema'];
  return schema === undefined ? '' : pre(schema);
}

/** A schema as JSON, with its references as links. */
function pre(schema: unknown): string {
  const text = escapeHtml(JSON.stringify(schema, undefined, 2));
  return `<pre>${text.replaceAll(/#\/components\/schemas\/(\w+)/g, '<a href="#$1">#/components/schemas/$1</a>')}</pre>`;
}

/** Text with `code` spans. */
function prose(text: unknown): string {
  return text === undefined ? '' : escapeHtml(text).replaceAll(/`([^`]+)`/g, '<code>$1</code>');
}

function escapeHtml(text: unknown): string {
  return String(text)
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
