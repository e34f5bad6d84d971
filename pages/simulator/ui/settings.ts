/** The settings of a visitor. If the page may not store them, it follows the browser at each start. */
export type Language = 'en' | 'zh';
export type Theme = 'auto' | 'light' | 'dark';
export const THEMES: readonly Theme[] = ['auto', 'light', 'dark'];

export function storedLanguage(): Language {
  const stored = read('lingxi-language');
  if (stored === 'en' || stored === 'zh') return stored;
  return navigator.language.toLowerCase().startsWith('zh') ? 'zh' : 'en';
}

export function storedTheme(): Theme {
  const stored = read('lingxi-theme');
  return stored === 'light' || stored === 'dark' ? stored : 'auto';
}

export function applyLanguage(language: Language, title: string): void {
  document.documentElement.lang = language === 'zh' ? 'zh-CN' : 'en';
  document.title = title;
  keep('lingxi-language', language);
}

export function applyTheme(theme: Theme): void {
  document.documentElement.dataset['theme'] = theme;
  keep('lingxi-theme', theme);
}

function read(name: string): string | null {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

function keep(name: string, value: string): void {
  try {
    localStorage.setItem(name, value);
  } catch {
    // The setting lasts as long as the page.
  }
}
