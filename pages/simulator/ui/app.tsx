import { useEffect, useState } from 'preact/hooks';
import { verdictOn } from '../model/checks.ts';
import { Controls } from './controls.tsx';
import { DeploymentView } from './deployment.tsx';
import type { Driver } from './driver.ts';
import { History } from './history.tsx';
import { Ledger } from './ledger.tsx';
import {
  applyLanguage,
  applyTheme,
  type Language,
  storedLanguage,
  storedTheme,
  THEMES,
  type Theme,
} from './settings.ts';
import type { Texts } from './texts.ts';
import { en } from './texts-en.ts';
import { zh } from './texts-zh.ts';
import { Timeline } from './timeline.tsx';
import { VerdictBanner } from './verdict.tsx';

const LANGUAGES: Readonly<Record<Language, { name: string; texts: Texts }>> = {
  en: { name: 'English', texts: en },
  zh: { name: '中文', texts: zh },
};

export function App({ driver, isDamaged }: { driver: Driver; isDamaged: boolean }) {
  const [, show] = useState(0);
  const [language, setLanguage] = useState(storedLanguage);
  const [theme, setTheme] = useState(storedTheme);
  const { texts } = LANGUAGES[language];
  useEffect(() => {
    driver.show = () => show((count) => count + 1);
    driver.show();
    return () => {
      driver.show = () => undefined;
    };
  }, [driver]);
  useEffect(() => applyLanguage(language, texts.title), [language, texts]);
  useEffect(() => applyTheme(theme), [theme]);
  const { play } = driver;
  return (
    <>
      <a class="skip" href="#ledger" onClick={skipToLedger}>
        {texts.skip}
      </a>
      <header>
        <div>
          <p class="brand">{texts.title}</p>
          <h1>{texts.heading}</h1>
          <p class="lead">{texts.lead}</p>
        </div>
        <Settings
          texts={texts}
          language={language}
          theme={theme}
          setLanguage={setLanguage}
          setTheme={setTheme}
        />
      </header>
      <main>
        <VerdictBanner texts={texts} verdict={verdictOn(play)} rule={play.plan.rule} />
        <Controls texts={texts} driver={driver} isDamaged={isDamaged} />
        <div class="columns">
          <DeploymentView texts={texts} driver={driver} />
          <div class="right">
            <Timeline texts={texts} play={play} />
            <Ledger texts={texts} play={play} />
            <History texts={texts} play={play} />
          </div>
        </div>
      </main>
    </>
  );
}

/** The address of the page contains the history, so the link itself must not change it. */
function skipToLedger(event: Event): void {
  event.preventDefault();
  document.querySelector<HTMLElement>('#ledger')?.focus();
}

function Settings(props: {
  texts: Texts;
  language: Language;
  theme: Theme;
  setLanguage: (language: Language) => void;
  setTheme: (theme: Theme) => void;
}) {
  const { texts, language, theme, setLanguage, setTheme } = props;
  return (
    <div class="settings">
      <label>
        {texts.language}
        <select value={language} onChange={(event) => setLanguage(event.currentTarget.value as Language)}>
          {(Object.keys(LANGUAGES) as Language[]).map((key) => (
            <option key={key} value={key} lang={key}>
              {LANGUAGES[key].name}
            </option>
          ))}
        </select>
      </label>
      <label>
        {texts.theme}
        <select value={theme} onChange={(event) => setTheme(event.currentTarget.value as Theme)}>
          {THEMES.map((key) => (
            <option key={key} value={key}>
              {texts.themes[key]}
            </option>
          ))}
        </select>
      </label>
    </div>
  );
}
