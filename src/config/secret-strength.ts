/** A random secret has at least this many different characters. */
const MIN_DIFFERENT_CHARACTERS = 8;

/** Whether a secret has too little variety to be random: few different characters, or one repeated piece. */
export function isGuessable(secret: string): boolean {
  return new Set(secret).size < MIN_DIFFERENT_CHARACTERS || isRepetition(secret);
}

/** Whether the text is one piece, repeated at least twice. */
function isRepetition(text: string): boolean {
  for (let period = 1; period <= text.length / 2; period += 1) {
    if (text.startsWith(text.slice(period))) return true;
  }
  return false;
}
