type Work = () => Promise<void>;

/** Runs one caller of this process at a time. Others get false at once, like those that `run` refuses. */
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
