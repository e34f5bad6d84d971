import { Value } from '../shared/value.ts';
import { parseRoute, type Route } from './route.ts';

/** What the page shows now. */
export const route = new Value<Route>(parseRoute(location.hash));

addEventListener('hashchange', () => route.set(parseRoute(location.hash)));

/** Changes the address without an entry in the history of the browser: for each letter of a search. */
export function replaceHash(hash: string): void {
  try {
    history.replaceState(null, '', hash);
  } catch {
    // Browsers allow a hundred of them in half a minute; the page works without.
  }
  route.set(parseRoute(hash));
}
