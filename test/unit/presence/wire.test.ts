import { describe, expect, it } from 'vitest';
import { toDuty } from '../../../src/presence/store/redis/duties.ts';
import {
  parseClaimAnswer,
  parseGroupAnswer,
  parseLost,
  parseRenewAnswer,
  parseUserRecord,
} from '../../../src/presence/store/redis/replies.ts';
import { CLAIM, decoder, encoder, type Named, textDecoder } from '../../../src/presence/store/redis/wire.ts';
import { wireHeader } from '../../../src/presence/store/redis/wire-header.ts';

const LIST = { userId: 'id', restMs: 'signed', count: 'number', reason: 'text', note: 'words' } as const;
const VALUES = { userId: 9_007_199_254_740_991, restMs: -5, count: 2, reason: 'kick', note: 'a|b' };

describe('a list of fields', () => {
  it('is written in its order, an id as text', () => {
    expect(encoder(LIST)(VALUES)).toEqual(['9007199254740991', -5, 2, 'kick', 'a|b']);
  });

  it('is written in its order, whatever the order of the values', () => {
    const { note, ...others } = VALUES;
    expect(encoder(LIST)({ note, ...others })).toEqual(encoder(LIST)(VALUES));
  });

  it('replaces half of a surrogate pair in what a person wrote, which Redis would refuse', () => {
    expect(encoder(LIST)({ ...VALUES, note: 'x\ud800' }).at(-1)).toBe('x\ufffd');
  });

  it('is read as it was written', () => {
    expect(decoder(LIST)(encoder(LIST)(VALUES))).toEqual(VALUES);
    expect(decoder(LIST)(encoder(LIST)(VALUES).map(String))).toEqual(VALUES);
  });

  it('shows what is missing: a number as NaN, a text as empty', () => {
    expect(decoder(LIST)(['7', ''])).toEqual({ userId: 7, restMs: NaN, count: NaN, reason: '', note: '' });
  });

  it('is read from a text; the last field gets the rest', () => {
    expect(textDecoder(LIST)('7|-5|2|kick|a|b')).toEqual({ ...VALUES, userId: 7 });
    expect(textDecoder(LIST)('7|-5').count).toBeNaN();
  });
});

/** Texts in the Redis of an older program, or from one. */
describe('texts in Redis', () => {
  it('[ST1] a duty is read by its place in the text', () => {
    expect(toDuty(['1-0', ['d', '7|100|101|109|108|logout|node-a']])).toEqual({
      ...{ id: '1-0', userId: 7, period: 100, loginAt: 101, logoutAt: 109, lastSeenAt: 108 },
      ...{ reason: 'logout', node: 'node-a' },
    });
  });

  it.each([
    ['a number is missing', '7|100|101||108|logout|node-a'],
    ['the reason does not exist', '7|100|101|109|108|whim|node-a'],
    ['parts are missing', '7|100'],
    ['nothing is there', ''],
  ])('[ST1] if %s, it is no duty', (_, text) => {
    expect(toDuty(['1-0', ['d', text]])).toBeUndefined();
  });

  it('[PR13] the last period of a user is read by its place in the text', () => {
    const reply = ['100', '101', '102', 0, 0, 0, '0', 'Ann', '192.0.2.1', '90|91|93|94|logout', '', 0];
    expect(parseUserRecord(7, reply)).toEqual({
      ...{ userId: 7, username: 'Ann', ip: '192.0.2.1', epoch: 102, status: 'offline', period: 90 },
      ...{ loginTime: 91, lastHeartbeat: 93, logoutTime: 94, sockets: 0, socketsElsewhere: 0 },
    });
  });

  it('[PR4] a renewal reports foreign keys and losses; the note of a kick may contain any character', () => {
    const losses = ['7', '3|kick|a|b', '8', '4|logout', '9', '5|kick|'];
    expect(parseRenewAnswer([1, 2, 'run:1:2', 1, 'lingxi:dead', ...losses])).toEqual({
      ...{ restore: true, onlineCount: 2, world: 'run:1:2', foreign: ['lingxi:dead'] },
      losses: [
        { userId: 7, rev: 3, reason: 'kick', note: 'a|b' },
        { userId: 8, rev: 4, reason: 'logout' },
        { userId: 9, rev: 5, reason: 'kick' },
      ],
    });
  });

  it('[PR4] the losses at the end of an answer are grouped by node', () => {
    const lost = parseLost(['a', '7', '3|replaced', 'b', '7', '4|kick|x', 'a', '8', '5|logout']);
    expect(lost).toEqual(
      new Map([
        [
          'a',
          [
            { userId: 7, rev: 3, reason: 'replaced' },
            { userId: 8, rev: 5, reason: 'logout' },
          ],
        ],
        ['b', [{ userId: 7, rev: 4, reason: 'kick', note: 'x' }]],
      ]),
    );
  });

  it('[PR8] a node and a loss are read and written in the field order of older programs', () => {
    expect(wireHeader()).toContain("string.match(text, '^([^|]*)|(%d+)|([^|]*)')");
    expect(wireHeader()).toContain("table.concat({ v.lease, num(v.seen), v.restored }, '|')");
    expect(wireHeader()).toContain("table.concat({ num(v.rev), v.reason }, '|')");
  });

  it('[ST9] the answer to a login names the period whose duty waits, if there is one', () => {
    const opened = { kind: 'opened', period: 100, epoch: 102, loginTime: 101 };
    expect(parseClaimAnswer('opened,100,102,101,90')).toEqual({ ...opened, unsettled: 90 });
    expect(parseClaimAnswer('opened,100,102,101,')).toEqual({ ...opened, unsettled: undefined });
    expect(parseClaimAnswer('joined,100,102,101,90')).toEqual({ ...opened, kind: 'joined' });
  });

  it('[GR1] a node receives the groups that it does not know, and nothing if it knows them', () => {
    expect(parseClaimAnswer('joined,100,102,101,,7;a;b')).toMatchObject({ kind: 'joined', groups: '7;a;b' });
    expect(parseClaimAnswer('opened,100,102,101,,0')).toMatchObject({ kind: 'opened', groups: '0' });
    expect(parseClaimAnswer('held,7;a')).toEqual({ kind: 'held', groups: '7;a' });
    expect(parseClaimAnswer('held')).toEqual({ kind: 'held' });
    expect(() => parseGroupAnswer('gone')).toThrow('groups.lua answered "gone"');
  });

  it('a claim of a user without groups is as long as it was', () => {
    const values = Object.entries(CLAIM).map(([name, kind]) => [
      name,
      /^(text|words|optional)$/.test(kind) ? '' : 7,
    ]);
    const claim = Object.fromEntries(values) as Named<typeof CLAIM>;
    const width = Object.keys(CLAIM).length;
    expect(encoder(CLAIM)(claim)).toHaveLength(width - 2);
    expect(encoder(CLAIM)({ ...claim, tokenGroups: 'a' })).toHaveLength(width - 1);
    expect(encoder(CLAIM)({ ...claim, serviceGroups: '5' }).slice(-2)).toEqual(['', '5']);
    expect(decoder(CLAIM)(encoder(CLAIM)(claim))).toEqual(claim);
  });

  it('an ended period with a field too few is refused', () => {
    expect(() => parseClaimAnswer('ended,7,100,102,101,109')).toThrow('an ended period has all its fields');
  });

  it('[PR11] a hold is read and written in the field order of older programs', () => {
    const fields = 'rev, sockets, epoch, socket_until, http_until, proof, till, mark, answer, token_groups';
    const numbers = 'num(v.rev), num(v.sockets), v.epoch, num(v.socket_until), num(v.http_until)';
    expect(wireHeader()).toContain(`  local ${fields} = string.match(text, '^(%-?%d+)|(%d+)|`);
    expect(wireHeader()).toContain(`{ ${numbers}, num(v.proof), num(v.till), v.mark, v.answer }, '|')`);
  });
});
