import { createHash } from 'node:crypto';
import { renderSocketForm, renderTokenForm, renderTry } from './docs-forms.ts';
import { escapeHtml } from './escape-html.ts';
import type { OpenApiDocument } from './openapi.ts';

type Json = Readonly<Record<string, unknown>>;

const METHODS = ['get', 'post', 'put', 'patch', 'delete'] as const;

const STYLE = `
:root{color-scheme:light dark;--line:#8884;--soft:#8881;--link:#0b57d0;background:#fff;color:#1f1f1f}
@media (prefers-color-scheme:dark){:root{--link:#8ab4f8;background:#131314;color:#e3e3e3}}
*{box-sizing:border-box}a{color:var(--link)}body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{margin-bottom:0}h2{margin-top:2.5rem;border-bottom:1px solid var(--line)}
details{border:1px solid var(--line);border-radius:6px;margin:.5rem 0;padding:.4rem .8rem}
summary{cursor:pointer}summary code{font-weight:600}
.method{display:inline-block;min-width:3.5rem;font:600 .8rem ui-monospace,monospace}
.who{float:right;font-size:.8rem}
form{display:grid;grid-template-columns:minmax(0,1fr);gap:.5rem;margin:.8rem 0;justify-items:start}label{display:grid;grid-template-columns:minmax(0,1fr);gap:.15rem;width:100%}input,textarea,select,button{font:inherit;padding:.3rem .5rem;border:1px solid GrayText;border-radius:6px;max-width:100%}textarea,input{width:100%;font-family:ui-monospace,monospace}button{cursor:pointer}[hidden]{display:none!important}
#frames{font:.85rem ui-monospace,monospace;padding:0;list-style:none;max-height:24rem;overflow:auto;overflow-wrap:anywhere}.panel{border:1px solid var(--line);border-radius:6px;padding:.2rem .9rem;margin:.8rem 0}.panel h2{margin-top:.6rem}
code,pre{font-family:ui-monospace,monospace;font-size:.88rem}
code,td,summary,h1,h2{overflow-wrap:anywhere}pre{background:var(--soft);padding:.6rem;border-radius:6px;overflow-x:auto;white-space:pre-wrap;overflow-wrap:anywhere}form pre{width:100%;margin:0;max-height:32rem;overflow:auto}
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.25rem .6rem;border-bottom:1px solid var(--line)}
`;

/** The source of `style-src` that allows this page's style and no other. */
export const DOCS_STYLE_SOURCE = `'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`;

/**
 * The description of the interface as one page, which loads only its own script. The page is readable without it; the forms that
 * try a call need it.
 */
export function renderDocsPage(
  document: OpenApiDocument,
  options: { readonly isDevelopment: boolean },
): string {
  const tags = (document.tags ?? []).map((tag) => tag.name);
  const operations = operationsOf(document);
  const forms = `${renderTokenForm(options.isDevelopment)}${renderSocketForm()}`;
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
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Lingxi API</title><style>${STYLE}</style><script type="module" src="./docs/docs.js"></script></head><body><main><h1>Lingxi API</h1><p>${escapeHtml(document.info.version)} · <a href="./openapi.json">openapi.json</a></p><p>${prose(document.info.description)}</p>${forms}${sections.join('')}<h2>Schemas</h2>${schemas.join('')}</main></body></html>`;
}

function operationsOf(document: OpenApiDocument): { readonly tag: string; readonly html: string }[] {
  return Object.entries(document.paths ?? {}).flatMap(([path, item]) =>
    METHODS.flatMap((method) => {
      const operation = (item as Readonly<Record<string, Json | undefined>>)[method];
      if (operation === undefined) return [];
      const [tag] = operation['tags'] as readonly string[];
      return [{ tag: tag ?? '', html: renderOperation(document, { method, path, operation }) }];
    }),
  );
}

interface Operation {
  readonly method: string;
  readonly path: string;
  readonly operation: Json;
}

function renderOperation(document: OpenApiDocument, { method, path, operation }: Operation): string {
  const body = (operation['requestBody'] as Json | undefined)?.['content'];
  const parts = [
    `<summary><span class="method">${method.toUpperCase()}</span><code>${escapeHtml(path)}</code> <span class="who">${who(operation)}</span><br>${prose(operation['summary'])}</summary>`,
    operation['description'] === undefined ? '' : `<p>${prose(operation['description'])}</p>`,
    renderParameters((operation['parameters'] as readonly Json[] | undefined) ?? []),
    body === undefined ? '' : `<h3>Body</h3>${renderContent(body)}`,
    renderTry(document, { method, path, operation }),
    renderResponses((operation['responses'] as Readonly<Record<string, Json>> | undefined) ?? {}),
  ];
  return `<details>${parts.join('')}</details>`;
}

const CREDENTIALS: Readonly<Record<string, string>> = {
  userToken: 'user token',
  serviceKey: 'service key',
  viewKey: 'read-only key',
};

function who(operation: Json): string {
  const names = ((operation['security'] as readonly Json[] | undefined) ?? []).flatMap((entry) =>
    Object.keys(entry),
  );
  if (names.length === 0) return 'anyone';
  return names.map((name) => CREDENTIALS[name] ?? name).join(' or ');
}

function renderParameters(parameters: readonly Json[]): string {
  if (parameters.length === 0) return '';
  const rows = parameters.map(
    (parameter) =>
      `<tr><td><code>${escapeHtml(parameter['name'])}</code></td><td>${escapeHtml(parameter['in'])}</td><td>${parameter['required'] === true ? 'required' : ''}</td><td>${prose((parameter['schema'] as Json | undefined)?.['description'])}</td></tr>`,
  );
  return `<h3>Parameters</h3><table>${rows.join('')}</table>`;
}

function renderResponses(responses: Readonly<Record<string, Json>>): string {
  const rows = Object.entries(responses).map(([status, response]) => {
    const content = status === '200' ? renderContent(response['content']) : '';
    return `<tr><td><code>${escapeHtml(status)}</code></td><td>${prose(response['description'])}${content}</td></tr>`;
  });
  return rows.length === 0 ? '' : `<h3>Answers</h3><table>${rows.join('')}</table>`;
}

function renderContent(content: unknown): string {
  const schema = (content as Readonly<Record<string, Json>> | undefined)?.['application/json']?.['schema'];
  return schema === undefined ? '' : pre(schema);
}

/** A schema as JSON, with its references as links. */
function pre(schema: unknown): string {
  const text = escapeHtml(JSON.stringify(schema, undefined, 2));
  return `<pre tabindex="0">${text.replaceAll(/#\/components\/schemas\/(\w+)/g, '<a href="#$1">#/components/schemas/$1</a>')}</pre>`;
}

/** Text with `code` spans. */
function prose(text: unknown): string {
  return text === undefined ? '' : escapeHtml(text).replaceAll(/`([^`]+)`/g, '<code>$1</code>');
}
