// The back end of an idle game over HTTP: spirit grows for users who are online, and never for time offline.
const { GATEWAY_URL, LINGXI_API_KEY } = process.env;
const RATE = 1; // spirit a second
const headers = { authorization: `Bearer ${LINGXI_API_KEY}`, 'content-type': 'application/json' };
const players = new Map(); // user id -> { spirit, since }; `since`: grown until then (ms), undefined while offline

function change({ userId, type, at }) {
  const player = players.get(userId) ?? { spirit: 0 };
  players.set(userId, player);
  // The feed comes at least once: an event that is known already changes nothing.
  if (type === 'online') player.since ??= at;
  else if (player.since !== undefined) {
    // The settled logout time. It may lie before the last growth: then this takes back what was too much.
    player.spirit += ((at - player.since) / 1000) * RATE;
    player.since = undefined;
  }
}

async function grow(now) {
  const online = [...players].filter(([, { since }]) => since !== undefined && since < now);
  for (const [userId, player] of online) {
    const elapsedSeconds = (now - player.since) / 1000;
    const oldSpirit = player.spirit;
    player.spirit += elapsedSeconds * RATE;
    player.since = now;
    const [gainAmount, newSpirit] = [player.spirit - oldSpirit, player.spirit];
    const timestamp = Math.floor(now / 1000);
    const data = { userId, oldSpirit, newSpirit, gainAmount, spiritRate: RATE, elapsedSeconds, timestamp };
    const body = JSON.stringify({ to: { userId }, type: 'spirit:grow', key: 'spirit', data });
    await fetch(`${GATEWAY_URL}/api/messages`, {
      method: 'POST',
      headers,
      body,
      signal: AbortSignal.timeout(5000),
    });
  }
}

let cursor;
for (;;) {
  try {
    const query = cursor === undefined ? '' : `&cursor=${encodeURIComponent(cursor)}`;
    const answer = await fetch(`${GATEWAY_URL}/api/online/events?limit=1000${query}`, { headers });
    if (answer.status === 410) cursor = undefined; // the cursor is expired: read from the oldest entry kept
    if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
    const read = await answer.json();
    read.events.forEach(change);
    cursor = read.cursor;
    // The events of this moment may still be on their way: what grows is a little behind.
    if (read.events.length < 1000) await grow(Date.now() - 1000);
  } catch (error) {
    console.error(`the gateway cannot be asked: ${error.message}`);
  }
  await new Promise((resolve) => setTimeout(resolve, 1000));
}
