import { lastingStorage } from './storage.ts';
import { Value } from './value.ts';

export type Language = 'en' | 'zh';

const NAME = 'lingxi-language';

/** The present language. It follows the browser until the user chooses one. `<html lang>` has it. */
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

/** The first of the browser's languages that the pages support. */
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
