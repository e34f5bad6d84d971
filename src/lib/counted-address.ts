import ipaddr from 'ipaddr.js';

/** 16-bit parts of the network that one subscriber gets: a /64. */
const NETWORK_PARTS = 4;

/**
 * What an address is counted as. One machine has a whole IPv6 /64 at its disposal, so IPv6 is counted by that network;
 * every other address is counted as it is.
 */
export function countedAddress(address: string): string {
  if (!address.includes(':')) return address;
  const parsed = parseIpv6(address);
  if (parsed === undefined) return address;
  if (parsed.isIPv4MappedAddress()) return parsed.toIPv4Address().toString();
  const network = parsed.parts.slice(0, NETWORK_PARTS).map((part) => part.toString(16));
  return `${network.join(':')}::/64`;
}

function parseIpv6(text: string): ipaddr.IPv6 | undefined {
  return ipaddr.IPv6.isValid(text) ? ipaddr.IPv6.parse(text) : undefined;
}
