import { createHash } from 'node:crypto';
import type { Plugin } from 'vite';

/** Puts script and style into the document, with a policy that allows only these two. */
export function oneFile(): Plugin {
  return {
    name: 'one-file',
    enforce: 'post',
    generateBundle(_, bundle) {
      const document = bundle['index.html'];
      if (document?.type !== 'asset') throw new Error('the build has no index.html');
      let html = String(document.source);
      const hashes: Record<'script' | 'style', string[]> = { script: [], style: [] };
      for (const [name, file] of Object.entries(bundle)) {
        if (file === document) continue;
        const element = name.endsWith('.css') ? 'style' : 'script';
        const text = file.type === 'chunk' ? file.code : String(file.source);
        // No text may end its element.
        const inline = text.replaceAll(/<\/(?=script|style)/gi, String.raw`<\/`).trim();
        hashes[element].push(`'sha256-${createHash('sha256').update(inline).digest('base64')}'`);
        html = withInline(
          html,
          name,
          `<${element}${element === 'script' ? ' type="module"' : ''}>${inline}</${element}>`,
        );
        delete bundle[name];
      }
      document.source = html.replace('<meta charset', `${policyOf(hashes)}<meta charset`);
    },
  };
}

/** Puts `element` in the place where the document names the file. */
function withInline(html: string, name: string, element: string): string {
  const tag = new RegExp(
    `<(?:script|link)[^>]*(?:src|href)="[^"]*${name.split('/').at(-1)}"[^>]*>(?:</script>)?`,
  );
  if (!tag.test(html)) throw new Error(`the document does not name ${name}`);
  return html.replace(tag, () => element);
}

function policyOf({ script, style }: Record<'script' | 'style', readonly string[]>): string {
  const policy = [
    "default-src 'none'",
    `script-src ${script.join(' ')}`,
    `style-src ${style.join(' ')}`,
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ');
  return `<meta http-equiv="Content-Security-Policy" content="${policy}" />\n    `;
}
