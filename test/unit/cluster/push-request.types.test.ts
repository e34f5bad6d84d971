import { describe, expect, it } from 'vitest';
import type { z } from 'zod';
import type { PushMessage } from '../../../src/cluster/push-request.ts';
import type { PushRequest } from '../../../src/protocol/delivery.ts';

type Schema = z.output<typeof PushMessage>;
/** Without the `undefined` that zod adds to each optional field. */
type Given<Fields> = { readonly [Name in keyof Fields]-?: Exclude<Fields[Name], undefined> };
type OptionalIn<Fields> = {
  [Name in keyof Fields]-?: object extends Pick<Fields, Name> ? Name : never;
}[keyof Fields];
type Same<Left, Right> = [Left] extends [Right] ? ([Right] extends [Left] ? true : false) : false;

/** The compiler is the test: `npm run types` fails if the schema and the type of a push differ. */
describe('a push', () => {
  it('has the fields of its schema, with the text of `data` in place of `data`', () => {
    const names: Same<keyof Omit<Schema, 'data'>, keyof Omit<PushRequest, 'dataText'>> = true;
    const optional: Same<OptionalIn<Omit<Schema, 'data'>>, OptionalIn<PushRequest>> = true;
    const values: Given<Omit<Schema, 'data' | 'to'>> extends Given<Omit<PushRequest, 'dataText' | 'to'>>
      ? true
      : false = true;
    const receivers: Schema['to'] extends PushRequest['to'] ? true : false = true;
    expect([names, optional, values, receivers]).toEqual([true, true, true, true]);
  });
});
