import { type Check, expect } from './check.ts';

/** The server's clock and ours must agree within this time, because the checks compare logout times. */
const CLOCK_TOLERANCE_S = 2;

export const serverChecks: readonly Check[] = [
  {
    name: 'health',
    async run({ api }) {
      const answer = await api.get('/healthz');
      expect(answer.status === 200 && answer.body['status'] === 'ok', answer.seen);
      return answer.seen;
    },
  },
  {
    name: 'readiness',
    async run({ api }) {
      const answer = await api.get('/readyz');
      // A node without its database is ready, and reports that it is degraded.
      expect(answer.status === 200 && answer.body['status'] === 'ok', answer.seen);
      return answer.seen;
    },
  },
  {
    name: 'statistics',
    async run({ api, clock }) {
      const answer = await api.get('/ws/stats');
      const { onlineCount, timestamp } = answer.body;
      expect(answer.status === 200 && Number.isInteger(onlineCount), answer.seen);
      const ageS = clock.now() / 1000 - Number(timestamp);
      expect(
        Math.abs(ageS) <= CLOCK_TOLERANCE_S,
        `timestamp in seconds is off by ${ageS.toFixed(1)} s: ${answer.seen}`,
      );
      return answer.seen;
    },
  },
];
