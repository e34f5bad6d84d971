import type { ComponentChild } from 'preact';
import { visibleText } from './visible-text.ts';

/** A foreign text on the page. Its tooltip shows more of it. */
export function Plain({ text, most }: { readonly text: string; readonly most?: number }): ComponentChild {
  const shown = visibleText(text, most);
  const isWhole = shown === text;
  return (
    <bdi class="plain" title={isWhole ? undefined : visibleText(text, 500)}>
      {shown}
    </bdi>
  );
}
