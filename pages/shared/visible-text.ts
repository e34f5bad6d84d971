/**
 * Characters that change the text around them or are invisible: control characters, direction marks, line breaks, spaces without
 * width, tags, halves of surrogate pairs.
 */
const HIDDEN =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\ud800-\udfff]|[\u{e0000}-\u{e0fff}]/gu;

/** More accents than this on one letter would cover the lines above. */
const TOO_MANY_ACCENTS = /(\p{M}{3})\p{M}+/gu;

/** Largest number of characters in a text that must not take more room on a page. */
const SHOWN_CHARACTERS = 64;

/**
 * A foreign text (the name of a user, a cause that this page does not know) in a form that is safe on a page: on one line, cut,
 * with names for invisible characters. Put it into its own element with `<Plain>`, so that its direction stays inside.
 */
export function visibleText(text: string, most: number = SHOWN_CHARACTERS): string {
  // Cut it first, because the next steps cost time for each character.
  const near = text.length > 4 * most ? text.slice(0, 4 * most) : text;
  const seen = near
    .replaceAll(HIDDEN, (character) => `⟨${(character.codePointAt(0) ?? 0).toString(16).toUpperCase()}⟩`)
    .replaceAll(TOO_MANY_ACCENTS, '$1');
  const characters = Array.from(seen);
  if (characters.length <= most && near === text) return seen;
  return `${characters.slice(0, most - 1).join('')}…`;
}

/** For a foreign text inside a sentence of this page: its direction does not affect the rest of the sentence. */
export function isolated(text: string, most?: number): string {
  return `\u2068${visibleText(text, most)}\u2069`;
}
