import { expect, test } from 'vitest';
import type { WebhookDelivery } from '../../src/contract/storage.ts';
import { renderNotice } from '../../src/webhooks/notice.ts';

const settledAt = Date.UTC(2026, 10, 21, 12, 0, 0, 7);
const delivery = (settlement: WebhookDelivery['settlement'], tries = 0): WebhookDelivery => ({
  requestId: 'req_1',
  settlement,
  settledAt,
  tries,
  dueAt: settledAt,
});
const error = { code: 'timeout' as const, message: 'no provider answered in time' };
const read = (settlement: WebhookDelivery['settlement']): unknown =>
  JSON.parse(renderNotice(delivery(settlement)).body);

test('a notice says which request ended, how and when', () => {
  const of = (status: string, more: object = {}) => ({
    type: `request.${status}`,
    timestamp: '2026-11-21T12:00:00.007Z',
    data: { requestId: 'req_1', status, ...more },
  });
  expect(read({ status: 'succeeded' })).toEqual(of('succeeded'));
  expect(read({ status: 'failed', error })).toEqual(of('failed', { error }));
  expect(read({ status: 'cancelled', error })).toEqual(of('cancelled', { error }));
});

test('neither prompt nor answer nor attempts are part of it', () => {
  const whole = { code: 'timeout' as const, message: 'm', attempts: [{ canary: 1 }], partial: { text: 'canary' } };
  const response = { kind: 'completion', text: 'canary' };
  // A store may hand out the whole settlement, which is a notice too.
  const succeeded = { status: 'succeeded' as const, response };
  for (const settlement of [{ status: 'failed' as const, error: whole }, succeeded])
    expect(renderNotice(delivery(settlement)).body).not.toContain('canary');
});

test('every try sends the same id and the same body', () => {
  const settlement = { status: 'failed' as const, error };
  expect(renderNotice(delivery(settlement, 5))).toEqual(renderNotice(delivery(settlement)));
  expect(renderNotice(delivery(settlement)).id).toBe('msg_req_1');
});

test('a notice stays under 20 kB, whatever the error says', () => {
  const message = '🌲\n'.repeat(50_000);
  expect(
    Buffer.byteLength(renderNotice(delivery({ status: 'failed', error: { ...error, message } })).body),
  ).toBeLessThan(20_000);
});
