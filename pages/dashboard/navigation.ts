import { Value } from '../shared/value.ts';
import { parseRoute, type Route } from './route.ts';

/** The present view of the page. */
export const route = new Value<Route>(parseRoute(location.hash));

addEventListener('hashchange', () => route.set(parseRoute(location.hash)));

/** Changes the address without an entry in the browser's history. Used for each letter of a search. */
export function replaceHash(hash: string): void {
  try {
    history.replaceState(null, '', hash);
  } catch {
    // Browsers allow a hundred changes in half a minute. The page works without them.
  }
  route.set(parseRoute(hash));
}
