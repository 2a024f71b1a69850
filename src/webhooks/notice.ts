/**
 * What a receiver is told: that a request ended and how, never what was asked or answered. Whoever wants to know asks for the
 * result, with the rights that this takes.
 */
import type { WebhookDelivery } from '../contract/storage.ts';

/** An error message longer than this is cut: notices stay small. */
const MESSAGE_LENGTH_MAX = 2_000;

/** One notice as it is sent, at every try the same. */
export interface Notice {
  /** Stable over tries, so that a receiver can drop doubles. */
  readonly id: string;
  /** JSON. */
  readonly body: string;
}

/** Renders the notice of a settlement. A request ends once, so its id makes the notice's. */
export function renderNotice({ requestId, settlement, settledAt }: WebhookDelivery): Notice {
  const { status } = settlement;
  const error = settlement.status === 'succeeded' ? undefined : settlement.error;
  return {
    id: `msg_${requestId}`,
    body: JSON.stringify({
      type: `request.${status}`,
      timestamp: new Date(settledAt).toISOString(),
      data: {
        requestId,
        status,
        ...(error !== undefined && {
          error: { code: error.code, message: error.message.slice(0, MESSAGE_LENGTH_MAX) },
        }),
      },
    }),
  };
}
