import { randomBytes, randomFillSync } from 'node:crypto';

const ID_BYTES = 9;
const IDS_PER_DRAW = 256;
const TICKET_BYTES = 32;

/** An id of 72 random bits, in base64url. */
export const newId = idSource();

/** A secret of 256 random bits, in base64url. */
export function newTicket(): string {
  return randomBytes(TICKET_BYTES).toString('base64url');
}

/** One call to the random generator provides bytes for many ids: the call is the most expensive part of an id. */
function idSource(): () => string {
  const bytes = Buffer.alloc(ID_BYTES * IDS_PER_DRAW);
  let end = bytes.length;
  return () => {
    if (end === bytes.length) {
      randomFillSync(bytes);
      end = 0;
    }
    end += ID_BYTES;
    return bytes.toString('base64url', end - ID_BYTES, end);
  };
}
