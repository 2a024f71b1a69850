/**
 * Keeps a name from leading into the operator's own network. It is looked up here, once per connection, and the socket is
 * given exactly the addresses that were judged, so a resolver that answers differently the second time (DNS rebinding) gains
 * nothing. An address written literally is never looked up: whoever takes one judges it where it is written.
 */
import { lookup as systemLookup, type LookupAddress, type LookupOptions } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';

/** Ranges no public API lives in: private, loopback, link-local, carrier NAT, cloud metadata, multicast, reserved. */
const IPV4_RANGES = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
  '168.63.129.16/32',
];
/** The same, and every form of IPv6 that wraps an IPv4 address: mapped, compatible, NAT64, 6to4, Teredo. */
const IPV6_RANGES = [
  '::/96',
  '::ffff:0:0/96',
  '64:ff9b::/96',
  '64:ff9b:1::/48',
  '100::/64',
  '2001::/32',
  '2001:db8::/32',
  '2002::/16',
  'fc00::/7',
  'fe80::/10',
  'fec0::/10',
  'ff00::/8',
];

const ipv4Refused = createBlockList(IPV4_RANGES, 'ipv4');
const ipv6Refused = createBlockList(IPV6_RANGES, 'ipv6');

function createBlockList(ranges: readonly string[], family: 'ipv4' | 'ipv6'): BlockList {
  const list = new BlockList();
  for (const range of ranges) {
    const [address = '', bits] = range.split('/');
    list.addSubnet(address, Number(bits), family);
  }
  return list;
}

/** Says whether a resolved address is reachable for anyone. */
export function isPublicAddress(entry: LookupAddress): boolean {
  return entry.family === 6 ? !ipv6Refused.check(entry.address, 'ipv6') : !ipv4Refused.check(entry.address, 'ipv4');
}

/**
 * Says whether the host of a URL may be public: an address is judged as it is, and of names only those are known to be
 * private that never leave the machine. Any other name is judged when it is looked up.
 */
export function isMaybePublicHost(hostname: string): boolean {
  // A URL writes an IPv6 address in brackets.
  const address = hostname.replace(/^\[(.*)\]$/, '$1');
  const family = isIP(address);
  if (family !== 0) return isPublicAddress({ address, family });
  return !/(^|\.)localhost\.?$/i.test(address);
}

/** A name that leads nowhere public. */
export class AddressRefusedError extends Error {
  override readonly name = 'AddressRefusedError';

  constructor(hostname: string, address: string) {
    super(`expected ${hostname} to resolve to a public address, got: ${address} (allowPrivate: true permits it)`);
  }
}

/** Resolves a name to all its addresses, as `dns.lookup` does. */
export type Resolve = (
  hostname: string,
  options: LookupOptions & { all: true },
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

export interface GuardOptions {
  /** Default: the system's resolver. */
  readonly resolve?: Resolve | undefined;
  /** Whether `localhost` may be what it is: the operator wrote it, and it cannot be meant to be public. */
  readonly permitsLocalhost: boolean;
}

/** The `lookup` of a connection: gives public addresses only. */
export function createGuardedLookup({ resolve = systemLookup, permitsLocalhost }: GuardOptions): LookupFunction {
  return (hostname, options, callback) => {
    resolve(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, '');
      const isPermitted = permitsLocalhost && hostname === 'localhost';
      const permitted = isPermitted ? addresses : addresses.filter(isPublicAddress);
      const first = permitted[0];
      if (first === undefined)
        return callback(new AddressRefusedError(hostname, addresses[0]?.address ?? 'no address'), '');
      return options.all === true ? callback(null, permitted) : callback(null, first.address, first.family);
    });
  };
}
