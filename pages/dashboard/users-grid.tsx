import type { ComponentChild } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { Plain } from '../shared/plain.tsx';
import { clockTime, dayAndTime, duration } from './format.ts';
import { serverNow } from './live.ts';
import type { OnlineUser, UsersWindow } from './readers.ts';
import { type Order, type Sort, shownOrder } from './route.ts';
import { labelOf, type TextKey } from './texts.ts';
import { useSay } from './use-say.ts';

/** The rows on the screen, and some before and after them. */
export interface Shown {
  readonly first: number;
  readonly count: number;
}

interface GridProps {
  readonly query: string;
  /** Undefined until the first window of this query has arrived. */
  readonly found: UsersWindow | undefined;
  /** Number of rows in the list. */
  readonly listed: number;
  readonly empty: string;
  readonly sort: Sort;
  readonly order: Order;
  readonly onSort: (sort: Sort) => void;
  readonly onShow: (shown: Shown) => void;
}

interface Column {
  readonly name: string;
  readonly label: TextKey;
  readonly sort?: Sort;
}

const COLUMNS: readonly Column[] = [
  { name: 'name', label: 'column.name', sort: 'name' },
  { name: 'id', label: 'column.user', sort: 'user' },
  { name: 'state', label: 'column.state', sort: 'state' },
  { name: 'node', label: 'column.node', sort: 'node' },
  { name: 'since', label: 'column.since', sort: 'since' },
  { name: 'heartbeat', label: 'column.heartbeat', sort: 'heartbeat' },
  { name: 'ip', label: 'column.ip' },
  { name: 'sockets', label: 'column.connections' },
];

const WIDE_ROW = 34;
const NARROW_ROW = 58;
const HEAD = 34;
/** Rows before and after the screen, so that a small scroll needs no answer from the server. */
const BEYOND = 25;
const narrow = matchMedia('(max-width: 760px)');

/** The scroll position of each list, so that a user who returns from another view finds it again. */
let left: { readonly query: string; readonly top: number; readonly active: number } | undefined;

/** A list of any length. Only its visible rows exist in the document. */
export function UsersGrid(props: GridProps): ComponentChild {
  const { query, found, listed, empty, onShow } = props;
  const { say } = useSay();
  const rowHeight = useIsNarrow() ? NARROW_ROW : WIDE_ROW;
  const grid = useRef<HTMLDivElement>(null);
  const earlier = useRef(left?.query === query ? left : undefined);
  const [active, setActive] = useState(earlier.current?.active ?? 0);
  const look = (): void => {
    const element = grid.current;
    if (element === null) return;
    const first = Math.floor(element.scrollTop / rowHeight);
    const count = Math.ceil(element.clientHeight / rowHeight);
    // In steps, so that not every pixel requests another window from the server.
    const start = Math.max(0, Math.floor((first - BEYOND) / 5) * 5);
    onShow({ first: start, count: count + 2 * BEYOND });
    left = { query, top: element.scrollTop, active };
  };
  useLayoutEffect(look, [rowHeight, active]);
  useEffect(() => {
    addEventListener('resize', look);
    return () => removeEventListener('resize', look);
  });
  const present = useRef(query);
  useLayoutEffect(() => {
    if (present.current === query) return;
    present.current = query;
    setActive(0);
    if (grid.current !== null) grid.current.scrollTop = 0;
  }, [query]);
  useLayoutEffect(() => {
    if (found === undefined || earlier.current === undefined || grid.current === null) return;
    grid.current.scrollTop = earlier.current.top;
    earlier.current = undefined;
  }, [found]);
  const current = Math.min(active, Math.max(0, listed - 1));
  const move = (to: number): void => {
    const next = Math.min(Math.max(0, to), Math.max(0, listed - 1));
    setActive(next);
    if (grid.current !== null) scrollTo(grid.current, next, rowHeight);
  };
  return (
    <div
      ref={grid}
      class="grid"
      role="grid"
      tabIndex={0}
      aria-label={say('users.title')}
      aria-rowcount={listed + 1}
      aria-colcount={COLUMNS.length}
      aria-activedescendant={
        found?.users[current - found.offset] === undefined ? undefined : `row-${current}`
      }
      onScroll={look}
      onKeyDown={(event) => {
        if (event.target !== event.currentTarget) return;
        const page = Math.max(1, Math.floor(event.currentTarget.clientHeight / rowHeight) - 2);
        const to = targetOf(event.key, { current, page, last: listed - 1 });
        const user = found?.users[current - found.offset];
        if (to === undefined && event.key !== 'Enter') return;
        event.preventDefault();
        if (to !== undefined) move(to);
        else if (user !== undefined) location.hash = `#/users/${user.userId}`;
      }}
    >
      <Head {...props} />
      <div role="rowgroup" class="rows" style={{ height: `${listed * rowHeight}px` }}>
        {found !== undefined &&
          found.users.map((user, place) => (
            <Row
              key={user.userId}
              user={user}
              index={found.offset + place}
              top={(found.offset + place) * rowHeight}
              isActive={found.offset + place === current}
            />
          ))}
      </div>
      {(found === undefined || listed === 0) && (
        <div role="row" class="grid-note muted">
          <span role="gridcell">{found === undefined ? say('users.loading') : empty}</span>
        </div>
      )}
    </div>
  );
}

function Head({ sort, order, onSort }: GridProps): ComponentChild {
  const { say } = useSay();
  const isRising = shownOrder(sort, order) === 'asc';
  return (
    <div role="rowgroup" class="head">
      <div role="row" class="row" aria-rowindex={1}>
        {COLUMNS.map((column) => {
          const isSorted = column.sort === sort;
          return (
            <span
              key={column.name}
              role="columnheader"
              class={`cell ${column.name}`}
              aria-sort={isSorted ? (isRising ? 'ascending' : 'descending') : undefined}
            >
              {column.sort === undefined ? (
                say(column.label)
              ) : (
                <SortButton sort={column.sort} mark={isSorted ? (isRising ? '↑' : '↓') : ''} onSort={onSort}>
                  {say(column.label)}
                </SortButton>
              )}
            </span>
          );
        })}
      </div>
    </div>
  );
}

interface SortButtonProps extends Pick<GridProps, 'onSort'> {
  readonly sort: Sort;
  readonly mark: string;
  readonly children: string;
}

function SortButton({ sort, mark, onSort, children }: SortButtonProps): ComponentChild {
  return (
    <button type="button" class="quiet" onClick={() => onSort(sort)}>
      {children}
      <span class="sort-mark" aria-hidden="true">
        {mark}
      </span>
    </button>
  );
}

interface RowProps {
  readonly user: OnlineUser;
  readonly index: number;
  readonly top: number;
  readonly isActive: boolean;
}

function Row({ user, index, top, isActive }: RowProps): ComponentChild {
  const { say, spoken } = useSay();
  const now = serverNow();
  const node = user.node.replace(/:[^:]*$/, '');
  const more = user.nodes.length > 1 ? ` +${user.nodes.length - 1}` : '';
  return (
    <div
      id={`row-${index}`}
      role="row"
      class="row"
      aria-rowindex={index + 2}
      aria-selected={isActive}
      style={{ transform: `translateY(${top}px)` }}
    >
      <span role="gridcell" class="cell name">
        <a href={`#/users/${user.userId}`} tabIndex={-1}>
          {user.username === '' ? String(user.userId) : <Plain text={user.username} />}
        </a>
      </span>
      <span role="gridcell" class="cell id">
        {user.userId}
      </span>
      <span role="gridcell" class="cell state">
        <span class={`badge ${user.state === 'active' ? 'good' : user.state === 'lingering' ? 'warn' : ''}`}>
          {labelOf('state', user.state, say)}
        </span>
      </span>
      <span role="gridcell" class="cell node">
        <Plain text={`${node}${more}`} most={32} />
      </span>
      <span role="gridcell" class="cell since" title={dayAndTime(user.since, spoken)}>
        {duration(now - user.since, spoken)}
      </span>
      <span role="gridcell" class="cell heartbeat" title={clockTime(user.lastHeartbeat, spoken)}>
        {say('ago.time', { time: duration(roundedAge(now - user.lastHeartbeat), spoken) })}
      </span>
      <span role="gridcell" class="cell ip">
        <Plain text={user.ip} most={45} />
      </span>
      <span role="gridcell" class="cell sockets">
        {user.connections}
      </span>
    </div>
  );
}

/** Nobody can read milliseconds that change twice a second. */
function roundedAge(ms: number): number {
  return ms < 1_000 ? 1_000 : ms;
}

function targetOf(
  key: string,
  { current, page, last }: { readonly current: number; readonly page: number; readonly last: number },
): number | undefined {
  switch (key) {
    case 'ArrowDown':
      return current + 1;
    case 'ArrowUp':
      return current - 1;
    case 'PageDown':
      return current + page;
    case 'PageUp':
      return current - page;
    case 'Home':
      return 0;
    case 'End':
      return last;
    default:
      return undefined;
  }
}

function scrollTo(element: HTMLElement, index: number, rowHeight: number): void {
  const top = index * rowHeight;
  const visible = element.clientHeight - HEAD;
  if (top < element.scrollTop) element.scrollTop = top;
  else if (top + rowHeight > element.scrollTop + visible) element.scrollTop = top + rowHeight - visible;
}

function useIsNarrow(): boolean {
  const [isNarrow, setNarrow] = useState(narrow.matches);
  useEffect(() => {
    const look = (): void => setNarrow(narrow.matches);
    narrow.addEventListener('change', look);
    return () => narrow.removeEventListener('change', look);
  }, []);
  return isNarrow;
}
