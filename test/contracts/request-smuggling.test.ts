import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { eventually, sleep } from '../support/ports.ts';
import { askRaw, openHttp, requestText } from '../support/raw-http.ts';
import { encodeFrame, handshake, openRaw } from '../support/raw-socket.ts';
import { type Deployment, deploy, freshUser } from '../support/stores.ts';
import { startWitness, type Witness } from '../support/witness.ts';

/** By this time, every request that gets an answer has one. */
const SILENCE_MS = 300;

describe.each(['bun', 'node'] as const)('a request inside another on %s', (runtime) => {
  let deployment: Deployment;
  let witness: Witness;
  beforeAll(async () => {
    deployment = await deploy({ runtime, kind: 'embedded', env: { LINGXI_LEGACY_OPEN_API: 'true' } });
    witness = await startWitness(deployment.gateway);
  });
  afterAll(async () => {
    witness?.stop();
    await deployment?.stop();
  });
  afterEach(async () => {
    await witness.noticedNothing(Number.POSITIVE_INFINITY);
  });

  const port = () => deployment.gateway.port();

  describe('request smuggling', () => {
    const behind = requestText('GET', '/healthz');
    const login = 'POST /api/online/login HTTP/1.1\r\nHost: 127.0.0.1\r\n';
    const expectNothing = (http: ReturnType<typeof openHttp>): void => {
      expect(http.received().toString('latin1')).toMatch(/^(HTTP\/1\.1 4\d\d [^]*)?$/);
      expect(http.received().toString('latin1')).not.toContain('HTTP/1.1 200');
    };

    it.each<[string, string]>([
      ['both lengths', 'Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
      ['two lengths', 'Content-Length: 1\r\nContent-Length: 2\r\n\r\nab'],
      ['a signed length', 'Content-Length: +2\r\n\r\nab'],
      ['a length in hex', 'Content-Length: 0x2\r\n\r\nab'],
      ['an unknown coding', 'Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n'],
      ['chunked twice', 'Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n'],
      ['chunked not last', 'Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n'],
      ['a space before the colon', 'Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n'],
      ['a folded line', 'X: a\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ])('is refused, and the server answers nothing behind it: %s', async (_name, rest) => {
      for (const offer of ['', 'Connection: Upgrade\r\nUpgrade: h2c\r\n']) {
        const http = openHttp(port(), `${login}${offer}${rest}${behind}`);
        await http.ended;
        expectNothing(http);
      }
    });

    it.each<[string, string]>([
      ['a chunk of no number', 'zz\r\nab\r\n0\r\n\r\n'],
      ['a chunk longer than it says', '1\r\nabc\r\n0\r\n\r\n'],
    ])('ends that connection, and the server answers nothing behind it: %s', async (_name, chunks) => {
      const chunked = `Transfer-Encoding: chunked\r\n\r\n${chunks}${behind}`;
      const plain = openHttp(port(), login + chunked);
      await plain.ended;
      expectNothing(plain);
      // Node does not report broken chunks after an offer to upgrade, so the request waits for its body until the time limit.
      const offered = openHttp(port(), `${login}Connection: Upgrade\r\nUpgrade: h2c\r\n${chunked}`);
      await Promise.race([offered.ended, sleep(SILENCE_MS)]);
      expectNothing(offered);
      offered.destroy();
    });

    // RFC 6455: a client must send nothing before the answer to its upgrade.
    it('a frame right after an upgrade request is read on Node, and ends the connection on Bun', async () => {
      const offer = handshake('/ws', deployment.gateway.token(freshUser()));
      const ping = encodeFrame({ opcode: 9, payload: 'early' });
      const raw = openRaw(port(), Buffer.concat([Buffer.from(offer), ping]));
      if (runtime === 'node') {
        expect((await raw.head).status).toBe(101);
        await eventually(() => expect(raw.frames().map(({ opcode }) => opcode)).toContain(10));
        raw.destroy();
        return;
      }
      expect((await raw.head).status).toBe(400);
      await raw.ended;
    });

    it('another upgrade right after the first opens no second socket, and the connection ends', async () => {
      const offers = [1, 2].map(() => handshake('/ws', deployment.gateway.token(freshUser())));
      const http = openHttp(port(), offers.join(''));
      await http.ended;
      const answers = http.received().toString('latin1').split('HTTP/1.1 101').length - 1;
      expect(answers).toBe(runtime === 'node' ? 1 : 0);
    });

    it('an upgrade with a body opens at most one socket, and the server does not read its body as a request', async () => {
      const { gateway } = deployment;
      const request = handshake('/ws', gateway.token(freshUser()), {
        'Content-Length': String(behind.length),
      });
      const http = openHttp(port(), request + behind);
      const { status } = await http.head;
      expect([101, 400]).toContain(status);
      http.destroy();
      await http.ended;
      expect(http.received().toString('latin1')).not.toContain('"status":"ok"');
    });

    it.each([
      ['http://evil.example/healthz', 200],
      ['http://evil.example/nothing', 404],
      ['//evil.example/healthz', 404],
      ['/../healthz', 200],
      ['/healthz/../../nothing', 404],
      ['*', 400],
    ])('the server handles the target %s itself', async (target, status) => {
      expect((await askRaw(port(), requestText('GET', target))).status).toBe(status);
    });

    it.each<[string, string, readonly number[]]>([
      ['Host', 'Host: a\r\nHost: b', [400]],
      ['Authorization', 'Host: a\r\nAuthorization: Bearer x\r\nAuthorization: Bearer y', [401]],
      ['Upgrade', 'Host: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket', [401]],
    ])('a doubled %s gives no extra rights', async (_name, lines, statuses) => {
      const answer = await askRaw(port(), `GET /api/nodes HTTP/1.1\r\n${lines}\r\n\r\n`);
      expect(statuses).toContain(answer.status);
    });
  });
});
