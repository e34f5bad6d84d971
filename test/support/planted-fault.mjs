// Loaded into the product before anything else: a text that holds this mark is parsed into an object whose first look at a
// member throws. It plays a bug in whatever handles the text, for the product itself has none that a test could use.
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
