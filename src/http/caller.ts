/** Tells when the client of a request has left. Node closes a response's socket as soon as it hears of it. */
import type { ServerResponse } from 'node:http';
import { SwitchgearError } from '../contract/errors.ts';

/** A signal that aborts when the client disconnects before its answer is complete. */
export function watchCaller(response: ServerResponse): AbortSignal {
  const controller = new AbortController();
  const leave = () => {
    if (!response.writableFinished) controller.abort(new SwitchgearError('cancelled', 'the client disconnected'));
  };
  if (response.destroyed) leave();
  else response.once('close', leave);
  return controller.signal;
}
