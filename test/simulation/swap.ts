/** Takes a change back. */
export type Undo = () => void;

/** Puts another method into the place of `name`, for mutants; answers how to take it back. */
export function swap<Target extends object, Name extends keyof Target>(
  target: Target,
  name: Name,
  make: (original: Target[Name]) => Target[Name],
): Undo {
  const original = target[name];
  target[name] = make(original);
  return () => {
    target[name] = original;
  };
}

export function swapAll(...undo: readonly Undo[]): Undo {
  return () => {
    for (const takeBack of undo) takeBack();
  };
}
