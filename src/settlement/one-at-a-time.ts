type Work = () => Promise<void>;

/** Lets one caller of this process in; others are answered false at once, as those whom `run` refuses. */
export function oneAtATime(run: (work: Work) => Promise<boolean>): (work: Work) => Promise<boolean> {
  let busy = false;
  return async (work) => {
    if (busy) return false;
    busy = true;
    try {
      return await run(work);
    } finally {
      busy = false;
    }
  };
}
