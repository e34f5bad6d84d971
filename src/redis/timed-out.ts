/** The error message of a command that got no answer in time. Redis may still carry the command out. */
export const TIMED_OUT = 'Command timed out';
