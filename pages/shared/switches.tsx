import type { ComponentChild } from 'preact';
import { chooseLanguage, language } from './language.ts';
import { chooseTheme, theme } from './theme.ts';
import { useValue } from './value.ts';

/** Each label names the result of the switch, in the language that the page then has. */
export function LanguageSwitch(): ComponentChild {
  const isZh = useValue(language) === 'zh';
  return (
    <button
      type="button"
      class="quiet"
      lang={isZh ? 'en' : 'zh-CN'}
      onClick={() => chooseLanguage(isZh ? 'en' : 'zh')}
    >
      {isZh ? 'English' : '中文'}
    </button>
  );
}

export function ThemeSwitch(): ComponentChild {
  const isDark = useValue(theme) === 'dark';
  const isZh = useValue(language) === 'zh';
  const label = isDark ? (isZh ? '浅色' : 'Light') : isZh ? '深色' : 'Dark';
  return (
    <button type="button" class="quiet" onClick={() => chooseTheme(isDark ? 'light' : 'dark')}>
      {label}
    </button>
  );
}
