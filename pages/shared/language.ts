import { lastingStorage } from './storage.ts';
import { Value } from './value.ts';

export type Language = 'en' | 'zh';

const NAME = 'lingxi-language';

/** The language in force. It follows the browser until somebody chooses one. `<html lang>` carries it. */
export const language = new Value<Language>(chosen() ?? ofBrowser());

addEventListener('languagechange', () => language.set(chosen() ?? ofBrowser()));
language.subscribe(show);
show();

export function chooseLanguage(next: Language): void {
  lastingStorage.set(NAME, next);
  language.set(next);
}

function chosen(): Language | undefined {
  const stored = lastingStorage.get(NAME);
  return stored === 'en' || stored === 'zh' ? stored : undefined;
}

/** The first language of the browser that the pages have. */
function ofBrowser(): Language {
  for (const tag of navigator.languages) {
    if (/^zh\b/i.test(tag)) return 'zh';
    if (/^en\b/i.test(tag)) return 'en';
  }
  return 'en';
}

function show(): void {
  document.documentElement.lang = language.now === 'zh' ? 'zh-CN' : 'en';
}
