import type { ComponentChild } from 'preact';
import { useState } from 'preact/hooks';
import { useText } from './hooks.ts';
import { type User, userOf } from './user.ts';
import { text } from './words.ts';

const FIRST_IDS = 1_000;

/** Asks for the user. In development the server gives a token for any user. */
export function Login({ start }: { readonly start: (user: User) => void }): ComponentChild {
  const t = useText();
  const [id, setId] = useState(() => String(1 + Math.floor(Math.random() * FIRST_IDS)));
  const [name, setName] = useState('');
  const user = userOf({ id, name });
  return (
    <section class="card login" aria-labelledby="login">
      <h2 id="login">{t(text('Who are you?', '你是谁？'))}</h2>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (user !== undefined) start(user);
        }}
      >
        <label>
          {t(text('User id', '用户 ID'))}
          <input
            name="user"
            inputMode="numeric"
            autocomplete="off"
            value={id}
            aria-invalid={user === undefined}
            aria-describedby="id-rule"
            onInput={(event) => setId(event.currentTarget.value.trim())}
          />
        </label>
        <label>
          {t(text('Name', '名字'))}
          <input
            name="name"
            maxLength={64}
            autocomplete="off"
            value={name}
            placeholder={t(text('Cloud Walker', '云游子'))}
            onInput={(event) => setName(event.currentTarget.value)}
          />
        </label>
        <p id="id-rule" class="muted" role={user === undefined ? 'alert' : undefined}>
          {user === undefined
            ? t(text('The id must be a whole number from 1.', 'ID 必须是从 1 开始的整数。'))
            : t(
                text(
                  'Any whole number works: in development the server gives a token to anybody on this machine.',
                  '任意整数都可以：开发模式下服务器会给本机任何人发放令牌。',
                ),
              )}
        </p>
        <button type="submit" class="primary" disabled={user === undefined}>
          {t(text('Play', '开始'))}
        </button>
      </form>
    </section>
  );
}
