/** The target of the part of the address after `#`. */
export interface Route {
  readonly view: 'overview' | 'users' | 'user' | 'config';
  /** Digits; only for `user`. */
  readonly userId: string;
  readonly search: string;
  readonly sort: Sort;
  readonly order: Order;
}

export const SORTS = ['since', 'heartbeat', 'user', 'name', 'node', 'state'] as const;

export type Sort = (typeof SORTS)[number];
export type Order = 'asc' | 'desc';

const LONGEST_SEARCH = 200;

/** An invalid address leads to the overview. */
export function parseRoute(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?', 2);
  const parameters = new URLSearchParams(query);
  const sort = SORTS.find((name) => name === parameters.get('sort')) ?? 'since';
  const common = {
    search: (parameters.get('search') ?? '').slice(0, LONGEST_SEARCH),
    sort,
    order: parameters.get('order') === 'asc' ? 'asc' : 'desc',
  } as const;
  const [, userId = ''] = /^users\/(\d{1,16})$/.exec(path) ?? [];
  if (userId !== '') return { view: 'user', userId, ...common };
  const view = path === 'users' || path === 'config' ? path : 'overview';
  return { view, userId: '', ...common };
}

export function usersHash({ search, sort, order }: Pick<Route, 'search' | 'sort' | 'order'>): string {
  const parameters = new URLSearchParams();
  if (search !== '') parameters.set('search', search);
  if (sort !== 'since' || order !== 'desc') {
    parameters.set('sort', sort);
    parameters.set('order', order);
  }
  const query = parameters.toString();
  return query === '' ? '#/users' : `#/users?${query}`;
}

export function turned(order: Order): Order {
  return order === 'asc' ? 'desc' : 'asc';
}

/** The server sorts by times, and the list shows ages. */
function isTime(sort: Sort): boolean {
  return sort === 'since' || sort === 'heartbeat';
}

/** Times begin with the newest. */
export function firstOrder(sort: Sort): Order {
  return isTime(sort) ? 'desc' : 'asc';
}

/** The order of the shown values from the top: the newest login has the shortest time online. */
export function shownOrder(sort: Sort, order: Order): Order {
  return isTime(sort) ? turned(order) : order;
}
