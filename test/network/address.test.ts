import { describe, expect, test } from 'vitest';
import {
  AddressRefusedError,
  createGuardedLookup,
  isMaybePublicHost,
  isPublicAddress,
  type Resolve,
} from '../../src/network/address.ts';

describe('addresses', () => {
  test.each([
    '127.0.0.1',
    '127.255.0.1',
    '10.1.2.3',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.1.1',
    '169.254.169.254',
    '100.100.100.200',
    '0.0.0.0',
    '168.63.129.16',
    '192.0.0.192',
    '224.0.0.1',
    '255.255.255.255',
  ])('IPv4 %s is refused', (address) => expect(isPublicAddress({ address, family: 4 })).toBe(false));
  test.each([
    '::1',
    '::',
    'fe80::1',
    'fd00:ec2::254',
    'fc00::1',
    '::ffff:127.0.0.1',
    '::ffff:a9fe:a9fe',
    '::127.0.0.1',
    '64:ff9b::7f00:1',
    '2002:7f00:1::',
    'ff02::1',
    '2001:db8::1',
  ])('IPv6 %s is refused', (address) => expect(isPublicAddress({ address, family: 6 })).toBe(false));
  test.each<[string, number]>([
    ['1.1.1.1', 4],
    ['172.32.0.1', 4],
    ['104.18.7.192', 4],
    ['2606:4700::6812:7c0', 6],
    ['2a00:1450:4001::1', 6],
  ])('%s is public', (address, family) => expect(isPublicAddress({ address, family })).toBe(true));

  test('of several addresses only the public ones are given to the connection', async () => {
    const lookup = createGuardedLookup({
      permitsLocalhost: true,
      resolve: (_name, _options, callback) =>
        callback(null, [
          { address: '10.0.0.1', family: 4 },
          { address: '1.1.1.1', family: 4 },
        ]),
    });
    const given = await new Promise((resolve) => {
      lookup('api.example.com', { all: true }, (error, addresses) => resolve({ error, addresses }));
    });
    expect(given).toEqual({ error: null, addresses: [{ address: '1.1.1.1', family: 4 }] });
    const one = await new Promise((resolve) => {
      lookup('api.example.com', {}, (error, address, family) => resolve({ error, address, family }));
    });
    expect(one).toEqual({ error: null, address: '1.1.1.1', family: 4 });
  });

  test('a failed resolution stays what it is', async () => {
    const failure = Object.assign(new Error('queryA ENOTFOUND'), { code: 'ENOTFOUND' });
    const lookup = createGuardedLookup({
      permitsLocalhost: true,
      resolve: (_name, _options, callback) => callback(failure, []),
    });
    expect(
      await new Promise((resolve) => {
        lookup('nowhere.example', {}, (error) => resolve(error));
      }),
    ).toBe(failure);
  });

  test('`localhost` is what it is where that is permitted, and refused elsewhere', async () => {
    const resolve: Resolve = (_name, _options, callback) => callback(null, [{ address: '127.0.0.1', family: 4 }]);
    const look = (permitsLocalhost: boolean, name: string) =>
      new Promise((given) => {
        createGuardedLookup({ resolve, permitsLocalhost })(name, {}, (error, address) => given(error ?? address));
      });
    expect(await look(true, 'localhost')).toBe('127.0.0.1');
    for (const refused of [await look(true, 'localhost.example'), await look(false, 'localhost')]) {
      expect(refused).toBeInstanceOf(AddressRefusedError);
      expect(String(refused)).toContain(
        'to resolve to a public address, got: 127.0.0.1 (allowPrivate: true permits it)',
      );
    }
  });

  test('a name that resolves to nothing is refused', async () => {
    const resolve: Resolve = (_name, _options, callback) => callback(null, []);
    const lookup = createGuardedLookup({ resolve, permitsLocalhost: false });
    expect(await new Promise((given) => lookup('void.example', {}, given))).toBeInstanceOf(AddressRefusedError);
  });

  test.each([
    ['http://127.0.0.1/', false],
    // The forms that a URL turns into an address.
    ['http://0x7f.1/', false],
    ['http://2130706433/', false],
    ['http://[::1]/', false],
    ['http://[::ffff:10.0.0.1]/', false],
    ['http://169.254.169.254/latest', false],
    ['http://LOCALHOST:4141/', false],
    ['http://localhost./', false],
    ['http://api.localhost/', false],
    ['http://1.1.1.1/', true],
    ['http://[2606:4700::1]/', true],
    // Only a lookup tells.
    ['http://localhost.example/', true],
    ['http://notlocalhost/', true],
  ])('the host of %s may be public: %s', (url, expected) => {
    expect(isMaybePublicHost(new URL(url).hostname)).toBe(expected);
  });
});
