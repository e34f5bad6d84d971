import ipaddr from 'ipaddr.js';

/** 16-bit parts of a /64, the network that one subscriber gets. */
const NETWORK_PARTS = 4;

/**
 * The key under which limits count an address. One machine can use a whole IPv6 /64, so that network is the key for
 * IPv6. Any other address is its own key.
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
