import ipaddr from 'ipaddr.js';

/** Number of hops of `X-Forwarded-For` to read, from the right. Addresses beyond them are not trusted. */
const MAX_HOPS = 32;
const MAX_HEADER_CHARS = 2048;

const MAPPED_IPV4_PREFIX = '::ffff:';

type Network = [ipaddr.IPv4 | ipaddr.IPv6, number];

/** Finds the real address of the client. */
export type ClientAddress = (peer: string, forwardedFor: string | undefined) => string;

/**
 * Builds the look-up for the given trusted proxies (CIDRs or single addresses). It reads `X-Forwarded-For` from the right as long
 * as a trusted hop wrote the entry. So the result is the right-most untrusted hop. It calls `onIgnored` if an untrusted peer
 * sends the header. Throws if an entry is neither an address nor a CIDR.
 */
export function createClientAddress(
  trustedProxies: readonly string[],
  onIgnored: (peer: string) => void = () => {},
): ClientAddress {
  const networks = trustedProxies.map(parseNetwork);
  const trusts = (address: string): boolean => {
    const parsed = ipaddr.process(address);
    return networks.some(([range, bits]) => parsed.kind() === range.kind() && parsed.match(range, bits));
  };
  return (peer, forwardedFor) => {
    let address = plainAddress(peer);
    if (forwardedFor === undefined) return address;
    if (!ipaddr.isValid(address) || !trusts(address)) {
      onIgnored(address);
      return address;
    }
    const hops = forwardedFor.slice(-MAX_HEADER_CHARS).split(',').slice(-MAX_HOPS);
    for (let index = hops.length - 1; index >= 0; index -= 1) {
      const hop = hopAddress(hops[index] ?? '');
      if (hop === undefined) return address;
      address = hop;
      if (!trusts(address)) return address;
    }
    return address;
  };
}

/** Writes an IPv4 address that came through an IPv6 socket as IPv4. */
export function plainAddress(peer: string): string {
  return peer.startsWith(MAPPED_IPV4_PREFIX) && peer.includes('.')
    ? peer.slice(MAPPED_IPV4_PREFIX.length)
    : peer;
}

/** Proxies write `1.2.3.4`, `1.2.3.4:5678`, `2001:db8::1` or `[2001:db8::1]:5678`. */
function hopAddress(hop: string): string | undefined {
  const text = hop.trim();
  const bracketed = /^\[([^\]]+)\](?::\d{1,5})?$/.exec(text)?.[1];
  const withPort = /^(\d{1,3}(?:\.\d{1,3}){3}):\d{1,5}$/.exec(text)?.[1];
  const address = bracketed ?? withPort ?? text;
  if (address.includes('%')) return undefined;
  if (!ipaddr.IPv4.isValidFourPartDecimal(address) && !ipaddr.IPv6.isValid(address)) return undefined;
  return ipaddr.process(address).toString();
}

/** Number of bits before the IPv4 address in its IPv6 form. */
const MAPPED_BITS = 96;

/** Writes a network of IPv4 addresses in IPv6 form as IPv4, because {@link plainAddress} does so with peers. */
function plainNetwork([address, bits]: Network): Network {
  const isMapped = address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress() && bits >= MAPPED_BITS;
  return isMapped ? [address.toIPv4Address(), bits - MAPPED_BITS] : [address, bits];
}

function parseNetwork(text: string): Network {
  if (text.includes('/') && ipaddr.isValidCIDR(text)) return plainNetwork(ipaddr.parseCIDR(text));
  if (!text.includes('/') && ipaddr.isValid(text)) {
    const address = ipaddr.process(text);
    return [address, address.kind() === 'ipv4' ? 32 : 128];
  }
  throw new Error(`LINGXI_TRUSTED_PROXIES: ${JSON.stringify(text)} is not an address or a CIDR.`);
}
