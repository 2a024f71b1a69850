import { describe, expect, test } from 'vitest';
import { checkConfig, resolveConfig } from '../../src/config/resolve.ts';
import type { ConfigProblem } from '../../src/contract/config.ts';

const bytes = (count: number, value = 7): string => Buffer.alloc(count, value).toString('base64');
const SECRET = `whsec_${bytes(32)}`;
const OTHER = `whsec_${bytes(24, 8)}`;
const URL_OF_RECEIVER = 'https://example.com/hooks/T0KEN';
/** Looks like nothing that anybody would know for a secret. */
const CANARY = 'canary-canary-canary';

const configWith = (webhooks: unknown) => ({ providers: { mock: { adapter: 'mock' } }, webhooks });
const resolve = (webhooks: unknown, env: Record<string, string> = {}) =>
  resolveConfig(configWith(webhooks), { env }).config.webhooks;
const problemsOf = (webhooks: unknown, env: Record<string, string> = {}): readonly ConfigProblem[] => {
  const check = checkConfig(configWith(webhooks), { env });
  return check.isValid ? [] : check.problems;
};
const pathsOf = (webhooks: unknown) => problemsOf(webhooks).map(({ path }) => path);

describe('webhooks', () => {
  test.each([undefined, null])('are off by default (%s)', (section) => {
    expect(resolve(section)).toBeUndefined();
  });

  test('take a URL and a secret, and fill in the rest', () => {
    expect(resolve({ url: URL_OF_RECEIVER, secret: SECRET })).toEqual({
      url: URL_OF_RECEIVER,
      secrets: [SECRET],
      timeoutMs: 10_000,
      allowPrivate: false,
    });
  });

  test('take everything from the environment, and several secrets', () => {
    const written = {
      url: '${URL}',
      secret: ['${NEW}', '${OLD}'],
      timeoutMs: '${LIMIT}',
      allowPrivate: '${PRIVATE}',
    };
    const env = { URL: 'http://10.1.2.3:8080/', NEW: SECRET, OLD: OTHER, LIMIT: '2000', PRIVATE: 'true' };
    expect(resolve(written, env)).toEqual({
      url: 'http://10.1.2.3:8080/',
      secrets: [SECRET, OTHER],
      timeoutMs: 2_000,
      allowPrivate: true,
    });
  });

  test('need both', () => {
    expect(pathsOf({})).toEqual(['webhooks.url', 'webhooks.secret']);
    expect(pathsOf({ timeoutMs: 5_000 })).toEqual(['webhooks.url', 'webhooks.secret']);
  });

  test('know no other option', () => {
    expect(problemsOf({ url: URL_OF_RECEIVER, secret: SECRET, secrets: [OTHER] })).toEqual([
      { path: 'webhooks.secrets', message: 'expected a known option, got: "secrets"; did you mean "secret"?' },
    ]);
  });
});

describe('a URL', () => {
  test.each([
    ['ftp://example.com/', 'expected an http or https URL'],
    ['example.com/hooks', 'expected an http or https URL'],
    ['', 'expected an http or https URL'],
    [`https://user:${CANARY}@example.com/`, 'expected a URL without credentials'],
    [`https://${CANARY}@example.com/`, 'expected a URL without credentials'],
    ['https://example.com/#part', 'expected a URL without #'],
  ])('%s is refused', (url, message) => {
    const [problem, ...more] = problemsOf({ url, secret: SECRET });
    expect(problem).toMatchObject({ path: 'webhooks.url', message: expect.stringContaining(message) });
    expect(more).toEqual([]);
    expect(problem?.message).not.toContain(CANARY);
  });

  test.each([
    'http://127.0.0.1:8080/',
    'http://2130706433/',
    'http://[::1]/',
    'http://10.0.0.7/hooks',
    'http://169.254.169.254/',
    'http://localhost/',
    'http://LOCALHOST.:80/',
    'http://dev.localhost/',
  ])('%s leads to a private host, which takes allowPrivate', (url) => {
    expect(problemsOf({ url, secret: SECRET })).toMatchObject([
      { path: 'webhooks.url', message: expect.stringMatching(/expected a public host, as .+ is private/) },
    ]);
    expect(resolve({ url, secret: SECRET, allowPrivate: true })).toMatchObject({ url });
  });

  test.each(['https://example.com', 'http://1.1.1.1/x?y=z', 'https://[2606:4700::1111]/'])('%s is accepted', (url) => {
    expect(resolve({ url, secret: SECRET })).toMatchObject({ url });
  });

  test('that sends notices unencrypted to another machine is warned of', () => {
    const warningsOf = (url: string) =>
      resolveConfig(configWith({ url, secret: SECRET, allowPrivate: true }), { env: {} }).warnings;
    expect(warningsOf('http://example.com/')).toEqual(['webhooks travel unencrypted; use an https url']);
    expect(warningsOf('https://example.com/')).toEqual([]);
    expect(warningsOf('http://127.0.0.1:8080/')).toEqual([]);
  });
});

describe('a secret', () => {
  test.each([
    ['no prefix', bytes(32)],
    ['another prefix', `sk_${bytes(32)}`],
    ['23 bytes', `whsec_${bytes(23)}`],
    ['65 bytes', `whsec_${bytes(65)}`],
    ['base64 for URLs', `whsec_${Buffer.alloc(32, 0xff).toString('base64url')}`],
    ['padding left out', `whsec_${bytes(32).replace('=', '')}`],
    ['a blank in it', `whsec_${bytes(32).slice(0, 20)} ${bytes(32).slice(20)}`],
    ['nothing after the prefix', 'whsec_'],
    ['nothing at all', ''],
    ['a password', CANARY],
    ['a number', 123_456_789_012],
    ['a map', { value: SECRET }],
  ])('with %s is refused, and not shown', (_what, secret) => {
    const problems = problemsOf({ url: URL_OF_RECEIVER, secret });
    expect(problems).toMatchObject([
      { path: 'webhooks.secret', message: expect.stringContaining('whsec_ and 24 to 64 random bytes in base64') },
    ]);
    expect(JSON.stringify(problems)).not.toMatch(/canary|BwcHBwcHBwc|123456789012|_{8}/i);
  });

  test.each([24, 64])('of %i bytes is accepted', (count) => {
    const secret = `whsec_${bytes(count)}`;
    expect(resolve({ url: URL_OF_RECEIVER, secret })).toMatchObject({ secrets: [secret] });
  });

  test('of several that is wrong is named by its place, and so is one that is there twice', () => {
    const secret = [SECRET, CANARY, OTHER, SECRET];
    const problems = problemsOf({ url: URL_OF_RECEIVER, secret });
    expect(problems).toMatchObject([{ path: 'webhooks.secret.1' }, { path: 'webhooks.secret.3' }]);
    expect(JSON.stringify(problems)).not.toMatch(/canary|BwcHBwcHBwc/);
  });

  test('is one of ten at most, and of one at least', () => {
    const secrets = (count: number) => Array.from({ length: count }, (_, index) => `whsec_${bytes(24, index)}`);
    expect(resolve({ url: URL_OF_RECEIVER, secret: secrets(10) })?.secrets).toHaveLength(10);
    expect(pathsOf({ url: URL_OF_RECEIVER, secret: secrets(11) })).toEqual(['webhooks.secret']);
    expect(pathsOf({ url: URL_OF_RECEIVER, secret: [] })).toEqual(['webhooks.secret']);
  });

  test('from a variable that is not set is named by the variable', () => {
    expect(problemsOf({ url: URL_OF_RECEIVER, secret: '${WEBHOOK_SECRET}' })).toMatchObject([
      { path: 'webhooks.secret', message: expect.stringContaining('${WEBHOOK_SECRET}') },
    ]);
  });

  test('is in no message about something else', () => {
    const problems = problemsOf({
      url: `https://example.com/${SECRET}#`,
      secret: SECRET,
      [SECRET]: 1,
      timeoutMs: SECRET,
    });
    expect(problems.length).toBeGreaterThan(1);
    expect(JSON.stringify(problems)).not.toContain('BwcHBwcHBwc');
    const others = problemsOf({ url: URL_OF_RECEIVER, secret: [CANARY], [CANARY]: 1 });
    expect(others).toHaveLength(2);
    expect(JSON.stringify(others)).not.toContain('canary');
  });
});

test.each([0, 60_001, 'soon'])('timeoutMs %s is refused', (timeoutMs) => {
  expect(pathsOf({ url: URL_OF_RECEIVER, secret: SECRET, timeoutMs })).toEqual(['webhooks.timeoutMs']);
});
