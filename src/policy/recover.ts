/**
 * What becomes of a request that was running when its process ended. It may have been sent and billed, so a caller can forbid
 * sending it again; and it may be the reason why the process ended, so it is not run for ever.
 */
import type { ErrorReport } from '../contract/errors.ts';
import type { Recovery } from '../contract/request.ts';
import type { AttemptReport, RequestId } from '../contract/response.ts';

/** With so many processes that ended while it was running, a request is taken for the reason. */
export const RECOVERIES_MAX = 3;

/** `recoveries`: how many processes ended while it was running, the last one included. */
export function isRunAgain(recovery: Recovery, recoveries: number): boolean {
  return recovery === 'atLeastOnce' && recoveries < RECOVERIES_MAX;
}

/** The end of a request whose record was damaged. */
export function unreadableError(requestId: RequestId): ErrorReport {
  const message = `the stored form of request ${requestId} cannot be read any more; look at the disk, and submit it anew`;
  return { code: 'interrupted', message, requestId, attempts: [] };
}

/** The end of a request that is not run again. */
export function interruptedError(
  requestId: RequestId,
  recovery: Recovery,
  recoveries: number,
  attempts: readonly AttemptReport[],
): ErrorReport {
  const message =
    recovery === 'atMostOnce'
      ? 'the process ended while the request was running, and it may not be sent again (atMostOnce): its provider may have answered and billed it'
      : `${recoveries} processes ended while the request was running, so it is not run again; find out why they ended, then submit it anew`;
  return { code: 'interrupted', message, requestId, attempts };
}
