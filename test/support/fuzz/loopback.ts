const ADDRESSES = 250;
const NETWORKS = 60;
let given = 0;

/**
 * A different loopback address for each connection, so that limits per address do not hide other behaviour. Only Linux answers on
 * all of them.
 */
export function loopbackAddress(): { readonly localAddress?: string } {
  if (process.platform !== 'linux') return {};
  given += 1;
  const network = 1 + (Math.floor(given / ADDRESSES) % NETWORKS);
  return { localAddress: `127.0.${network}.${2 + (given % ADDRESSES)}` };
}
