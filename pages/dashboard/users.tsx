import type { ComponentChild } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { useValue } from '../shared/value.ts';
import { sentenceOfProblem } from './ask.ts';
import { wholeNumber } from './format.ts';
import { replaceHash, route } from './navigation.ts';
import { readUsers, type UsersWindow } from './readers.ts';
import { firstOrder, type Order, SORTS, type Sort, shownOrder, turned, usersHash } from './route.ts';
import type { TextKey } from './texts.ts';
import { usePoller } from './use-poller.ts';
import { useSay } from './use-say.ts';
import { type Shown, UsersGrid } from './users-grid.tsx';

/** The server sends a window at most this often. */
const EVERY_MS = 500;
const TYPING_MS = 250;
const MOST_ROWS = 200;
/** Browsers limit the height of an element to somewhat more than this. */
const MOST_LISTED = 200_000;

export function UsersPage({ keyInUse }: { readonly keyInUse: string }): ComponentChild {
  const { say, spoken } = useSay();
  const { search, sort, order } = useValue(route);
  const [isPaused, setPaused] = useState(false);
  const [shown, setShown] = useState<Shown>({ first: 0, count: 60 });
  const poller = usePoller({ key: keyInUse, everyMs: EVERY_MS, read: readUsers });
  const { answer, problem } = useValue(poller.state);
  const query = new URLSearchParams({ search, sort, order }).toString();
  useEffect(() => {
    const offset = Math.max(0, shown.first);
    const limit = Math.min(MOST_ROWS, Math.max(1, shown.count));
    poller.follow(`dashboard/users?${query}&offset=${offset}&limit=${limit}`, isPaused);
  }, [poller, query, shown.first, shown.count, isPaused]);
  // The rows of another search do not belong to this one.
  const isOfQuery = answer?.path.startsWith(`dashboard/users?${query}&`) === true;
  const found = isOfQuery ? answer.body : undefined;
  const onSort = (next: Sort): void =>
    replaceHash(usersHash({ search, sort: next, order: next === sort ? turned(order) : firstOrder(next) }));
  return (
    <section class="users" aria-labelledby="users-title">
      <div class="section-head">
        <h1 id="users-title" tabIndex={-1}>
          {say('users.title')}
        </h1>
        <p class="count">
          {answer === undefined
            ? ''
            : say('users.count', {
                matched: found === undefined ? '…' : wholeNumber(found.matched, spoken),
                total: wholeNumber(answer.body.total, spoken),
              })}
        </p>
      </div>
      <div class="toolbar">
        <Search />
        <SortChoice sort={sort} order={order} onSort={onSort} />
        <label class="check">
          <input
            type="checkbox"
            checked={isPaused}
            onChange={(event) => setPaused(event.currentTarget.checked)}
          />
          {say('users.pause')}
        </label>
      </div>
      <p id="users-hint" class={problem === undefined ? 'hint muted' : 'hint bad'}>
        {problem === undefined ? hintOf(found, say) : sentenceOfProblem(problem, say)}
      </p>
      <p class="hidden" role="status">
        {found === undefined || search === '' ? '' : say('users.found', { matched: found.matched })}
      </p>
      <UsersGrid
        query={query}
        found={found}
        listed={Math.min(found?.matched ?? 0, MOST_LISTED)}
        empty={say(search === '' ? 'users.none' : 'users.noMatch')}
        sort={sort}
        order={order}
        onSort={onSort}
        onShow={setShown}
      />
    </section>
  );
}

function hintOf(found: UsersWindow | undefined, say: ReturnType<typeof useSay>['say']): string {
  if (found !== undefined && found.partial !== '') return found.partial;
  if (found !== undefined && found.matched > MOST_LISTED) return say('users.tooMany', { count: MOST_LISTED });
  return say('users.hint');
}

/** The key `/` focuses it from anywhere on the page. */
function Search(): ComponentChild {
  const { say } = useSay();
  const { search, sort, order } = useValue(route);
  const [text, setText] = useState(search);
  const input = useRef<HTMLInputElement>(null);
  const sent = useRef(search);
  // A link or the back button may change the address. The text that this box sent itself is ignored: the user may have typed more
  // since.
  useEffect(() => {
    if (search === sent.current) return;
    sent.current = search;
    setText(search);
  }, [search]);
  useEffect(() => {
    if (text === search) return;
    const timer = setTimeout(() => {
      sent.current = text;
      replaceHash(usersHash({ search: text, sort, order }));
    }, TYPING_MS);
    return () => clearTimeout(timer);
  }, [text]);
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      const isTyping = event.target instanceof HTMLElement && event.target.matches('input, textarea, select');
      if (event.key !== '/' || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      input.current?.focus();
      input.current?.select();
    };
    document.addEventListener('keydown', onKey);
    return () => document.removeEventListener('keydown', onKey);
  }, []);
  return (
    <label class="search">
      <span class="hidden">{say('users.search')}</span>
      <input
        ref={input}
        type="search"
        value={text}
        maxLength={200}
        placeholder={say('users.search')}
        autocomplete="off"
        spellcheck={false}
        aria-describedby="users-hint"
        onInput={(event) => setText(event.currentTarget.value)}
      />
    </label>
  );
}

interface SortProps {
  readonly sort: Sort;
  readonly order: Order;
  readonly onSort: (sort: Sort) => void;
}

/** For a narrow screen, which has no column headings. */
function SortChoice({ sort, order, onSort }: SortProps): ComponentChild {
  const { say } = useSay();
  const shown = shownOrder(sort, order);
  return (
    <span class="sort-choice">
      <select
        aria-label={say('users.sort')}
        value={sort}
        onChange={(event) => onSort(SORTS.find((name) => name === event.currentTarget.value) ?? 'since')}
      >
        {SORTS.map((name) => (
          <option key={name} value={name}>
            {say(`column.${name}` satisfies TextKey)}
          </option>
        ))}
      </select>
      <button
        type="button"
        aria-label={`${say('users.order')}: ${say(`order.${shown}`)}`}
        onClick={() => onSort(sort)}
      >
        {shown === 'asc' ? '↑' : '↓'}
      </button>
    </span>
  );
}
