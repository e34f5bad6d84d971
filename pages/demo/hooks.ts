import { useEffect, useState } from 'preact/hooks';
import { language } from '../shared/language.ts';
import { useValue } from '../shared/value.ts';
import type { Text } from './words.ts';

/** The text in the present language. */
export function useText(): (given: Text) => string {
  const chosen = useValue(language);
  return (given) => given[chosen];
}

/** The present time, four times a second. */
export function useNow(): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 250);
    return () => clearInterval(timer);
  }, []);
  return now;
}
