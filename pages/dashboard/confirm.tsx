import type { ComponentChild, ComponentChildren } from 'preact';
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import { useSay } from './use-say.ts';

interface ConfirmProps {
  readonly title: string;
  readonly children: ComponentChildren;
  readonly confirm: string;
  /** The text that the user must type first, and the label for it. */
  readonly typed?: { readonly text: string; readonly label: string };
  /** Resolves when the action has ended, with or without success. */
  readonly onConfirm: () => Promise<void>;
  readonly onClose: () => void;
}

/** Asks before an action that affects users. It closes when the action has ended; the result appears where the action started. */
export function Confirm({
  title,
  children,
  confirm,
  typed,
  onConfirm,
  onClose,
}: ConfirmProps): ComponentChild {
  const { say } = useSay();
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  const [text, setText] = useState('');
  const [isWorking, setIsWorking] = useState(false);
  useEffect(() => dialog.current?.showModal(), []);
  const mayConfirm = !isWorking && (typed === undefined || withoutMarks(text) === typed.text);
  const submit = (event: Event): void => {
    event.preventDefault();
    if (!mayConfirm) return;
    setIsWorking(true);
    void onConfirm().finally(onClose);
  };
  return (
    <dialog
      ref={dialog}
      aria-labelledby={`${id}-title`}
      onClose={onClose}
      onCancel={(event) => {
        // An action that has begun cannot be cancelled.
        if (isWorking) event.preventDefault();
      }}
    >
      <form onSubmit={submit}>
        <h2 id={`${id}-title`}>{title}</h2>
        {children}
        {typed !== undefined && (
          <>
            <label for={`${id}-typed`}>{typed.label}</label>
            <input
              id={`${id}-typed`}
              value={text}
              autocomplete="off"
              spellcheck={false}
              onInput={(event) => setText(event.currentTarget.value)}
            />
          </>
        )}
        <div class="dialog-buttons">
          <button type="button" disabled={isWorking} onClick={() => dialog.current?.close()}>
            {say('dialog.cancel')}
          </button>
          <button type="submit" class="primary danger" disabled={!mayConfirm}>
            {isWorking ? say('dialog.working') : confirm}
          </button>
        </div>
      </form>
    </dialog>
  );
}

/** A text copied from this page may contain the direction marks that isolate foreign text. */
function withoutMarks(text: string): string {
  return text.replaceAll(/[\u2066-\u2069]/g, '').trim();
}
