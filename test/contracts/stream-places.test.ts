import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Gateway, startGateway } from '../support/gateway-process.ts';
import { eventually } from '../support/ports.ts';
import { openHttp, requestText } from '../support/raw-http.ts';

/** Every path that streams, with the largest number of its readers. */
const STREAMS = [
  { path: '/api/online/events', places: 100 },
  { path: '/api/dashboard/live', places: 50 },
] as const;

/** Requests that a client sends at once on one connection. */
const PIPELINED = 16;

describe.each(['bun', 'node'] as const)('the places of streams on %s', (runtime) => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway({ runtime, stores: 'embedded' });
  });
  afterAll(() => gateway?.stop());

  const headers = () => ({ Authorization: `Bearer ${gateway.apiKey}`, Accept: 'text/event-stream' });
  const statusOfReader = (path: string) => {
    const { head, destroy } = openHttp(gateway.port(), requestText('GET', path, { headers: headers() }));
    return { status: head.then(({ status }) => status), destroy };
  };

  /** No place is lost: the stream accepts as many readers as before. */
  const allPlacesAreFree = (path: string, places: number) =>
    eventually(async () => {
      const readers = Array.from({ length: places }, () => statusOfReader(path));
      const statuses = await Promise.all(readers.map(({ status }) => status));
      for (const { destroy } of readers) destroy();
      expect(statuses).toEqual(readers.map(() => 200));
    });

  describe.each(STREAMS)('$path', ({ path, places }) => {
    it('HEAD has the headers of the stream, and takes no place', async () => {
      for (let count = 0; count <= places; count += 1) {
        const answer = await fetch(gateway.url + path, { method: 'HEAD', headers: headers() });
        expect([count, answer.status]).toEqual([count, 200]);
        expect(answer.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
      }
      const reader = statusOfReader(path);
      expect(await reader.status).toBe(200);
      reader.destroy();
    });

    it('a reader that leaves before the answer frees its place', async () => {
      for (let count = 0; count <= places; count += 1) {
        const http = openHttp(gateway.port());
        await new Promise<void>((resolve) => {
          http.socket.write(requestText('GET', path, { headers: headers() }), () => resolve());
        });
        http.destroy();
      }
      await allPlacesAreFree(path, places);
    });

    it('a reader that requested many streams on one connection frees all their places', async () => {
      const request = requestText('GET', path, { headers: headers() });
      // The server may not have seen yet that the readers of the test before have left.
      await eventually(async () => {
        const asked = Array.from({ length: 4 }, () => openHttp(gateway.port(), request.repeat(PIPELINED)));
        const statuses = await Promise.all(asked.map(({ head }) => head.then(({ status }) => status)));
        for (const http of asked) http.destroy();
        expect(statuses).toEqual(asked.map(() => 200));
      });
      await allPlacesAreFree(path, places);
    });
  });
});
