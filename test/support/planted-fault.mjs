// Loaded into the product before anything else. A text with this mark is parsed into an object that throws when its first member
// is read. This simulates a bug in the code that handles the text, because the product has no known bug for a test.
const MARK = '"planted-fault"';
const parse = JSON.parse;

JSON.parse = (text, reviver) => {
  const value = parse(text, reviver);
  if (typeof text !== 'string' || !text.includes(MARK)) return value;
  return new Proxy(value, {
    get() {
      throw new Error('a planted fault');
    },
    ownKeys() {
      throw new Error('a planted fault');
    },
  });
};
