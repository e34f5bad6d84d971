import { type Language, language } from '../shared/language.ts';
import { useValue } from '../shared/value.ts';
import { type Say, sayer } from './texts.ts';

/** The present language, and a function that returns texts in it. */
export function useSay(): { readonly say: Say; readonly spoken: Language } {
  const spoken = useValue(language);
  return { say: SAYERS[spoken], spoken };
}

const SAYERS: Readonly<Record<Language, Say>> = { en: sayer('en'), zh: sayer('zh') };
