import type { Language } from '../protocol/error-codes.ts';

/** Longer headers are cut here. An honest client puts its language before that point. */
const MAX_HEADER_CHARS = 256;
const MAX_RANGES = 16;

/**
 * The language of an error sentence: Chinese or English, the one that ranks higher in `Accept-Language` (RFC 9110 section
 * 12.5.4), else `fallback`.
 */
export function preferredLanguage(acceptLanguage: string | undefined, fallback: Language): Language {
  if (acceptLanguage === undefined || acceptLanguage === '') return fallback;
  let best: Language | undefined;
  let bestWeight = 0;
  for (const range of acceptLanguage.slice(0, MAX_HEADER_CHARS).split(',', MAX_RANGES)) {
    const [tag = '', ...parameters] = range.split(';');
    const language = languageOf(tag.trim().toLowerCase());
    if (language === undefined) continue;
    const weight = weightOf(parameters);
    if (weight > bestWeight) {
      best = language;
      bestWeight = weight;
    }
  }
  return best ?? fallback;
}

function languageOf(tag: string): Language | undefined {
  if (tag === 'zh' || tag.startsWith('zh-')) return 'zh';
  if (tag === 'en' || tag.startsWith('en-')) return 'en';
  return undefined;
}

function weightOf(parameters: readonly string[]): number {
  for (const parameter of parameters) {
    const [name = '', value = ''] = parameter.split('=');
    if (name.trim().toLowerCase() !== 'q') continue;
    const weight = Number(value.trim());
    return weight >= 0 && weight <= 1 ? weight : 0;
  }
  return 1;
}
