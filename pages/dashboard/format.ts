import type { Language } from '../shared/language.ts';

const LOCALES: Readonly<Record<Language, string>> = { en: 'en-GB', zh: 'zh-CN' };

/** Units from the smallest, each with its number in the next one. */
const UNITS = [
  { size: 1_000, en: 's', zh: '秒', per: 60 },
  { size: 60_000, en: 'min', zh: '分', per: 60 },
  { size: 3_600_000, en: 'h', zh: '小时', per: 24 },
  { size: 86_400_000, en: 'd', zh: '天', per: Number.POSITIVE_INFINITY },
] as const;

const formats = new Map<string, Intl.NumberFormat | Intl.DateTimeFormat>();

/** Creating a format takes a thousand times as long as using it. */
function kept<Format extends Intl.NumberFormat | Intl.DateTimeFormat>(
  name: string,
  make: () => Format,
): Format {
  const known = formats.get(name) ?? make();
  formats.set(name, known);
  return known as Format;
}

export function wholeNumber(number: number, language: Language): string {
  return kept(
    `whole ${language}`,
    () => new Intl.NumberFormat(LOCALES[language], { maximumFractionDigits: 0 }),
  ).format(number);
}

/** A rate or another measured number. Small ones have a decimal. */
export function measured(number: number, language: Language): string {
  if (number >= 100 || number === 0) return wholeNumber(number, language);
  const digits = number < 1 ? 2 : 1;
  const options = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return kept(
    `measured ${digits} ${language}`,
    () => new Intl.NumberFormat(LOCALES[language], options),
  ).format(number);
}

/** `850 ms`, `12 s`, `3 min 05 s`, `2 h 05 min`, `3 d 04 h`. */
export function duration(ms: number, language: Language): string {
  const whole = Math.max(0, Math.round(ms));
  if (whole < 1_000) return language === 'zh' ? `${whole} 毫秒` : `${whole} ms`;
  const index = UNITS.findLastIndex(({ size }) => size <= whole);
  const unit = UNITS[index];
  if (unit === undefined) return '';
  const head = `${wholeNumber(Math.floor(whole / unit.size), language)} ${unit[language]}`;
  const smaller = UNITS[index - 1];
  if (smaller === undefined) return head;
  const rest = Math.floor((whole % unit.size) / smaller.size);
  return `${head} ${String(rest).padStart(2, '0')} ${smaller[language]}`;
}

/** `14:03:09` */
export function clockTime(at: number, language: Language): string {
  const options = { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' } as const;
  return onDay(at, () =>
    kept(`clock ${language}`, () => new Intl.DateTimeFormat(LOCALES[language], options)),
  );
}

/** The same with the day. */
export function dayAndTime(at: number, language: Language): string {
  const options = {
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    hourCycle: 'h23',
  } as const;
  return onDay(at, () => kept(`day ${language}`, () => new Intl.DateTimeFormat(LOCALES[language], options)));
}

/** The server may send a time that no calendar has. */
function onDay(at: number, format: () => Intl.DateTimeFormat): string {
  return Number.isNaN(new Date(at).getTime()) ? '–' : format().format(at);
}
