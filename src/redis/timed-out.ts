/** What a command that was not answered in time fails with. Redis may carry it out all the same. */
export const TIMED_OUT = 'Command timed out';
