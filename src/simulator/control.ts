/**
 * The address by which a rehearsal is conducted: the log is read and cleared, faults are switched on and off. It answers
 * whatever fault is on. Only JSON is taken, so that no web page can post to it unseen.
 */
import type { IncomingMessage } from 'node:http';
import { SwitchgearError } from '../contract/errors.ts';
import { readBody } from './body.ts';
import { parsePatch, type ParsedPatch } from './options.ts';
import type { RequestLog } from './request-log.ts';

/** What every control address starts with. */
export const controlPrefix = '/control';
/** Largest change that may be posted. */
const patchBytesMax = 1_048_576;

export interface Controlled {
  readonly log: RequestLog;
  readonly apply: (patch: ParsedPatch) => void;
}

export interface ControlReply {
  readonly status: number;
  readonly body: unknown;
}

/** Answers one control request. Never rejects. */
export async function answerControl(
  request: IncomingMessage,
  path: string,
  controlled: Controlled,
): Promise<ControlReply> {
  if (path === `${controlPrefix}/log` && request.method === 'GET') return { status: 200, body: controlled.log.read() };
  if (path === `${controlPrefix}/log` && request.method === 'DELETE') {
    controlled.log.clear();
    return { status: 200, body: [] };
  }
  if (path === controlPrefix && request.method === 'POST') return await applyPatch(request, controlled);
  return refuse(404, `expected GET or DELETE ${controlPrefix}/log, or POST ${controlPrefix}, got: another request`);
}

async function applyPatch(request: IncomingMessage, { apply }: Controlled): Promise<ControlReply> {
  if (!/^application\/json\b/iu.test(request.headers['content-type'] ?? ''))
    return refuse(415, 'expected content-type to be application/json');
  const body = await readBody(request, patchBytesMax);
  if (body.kind === 'too-large')
    return refuse(413, `expected the body to be at most ${patchBytesMax} bytes, got: ${body.bytes}`);
  if (body.kind !== 'json') return refuse(400, 'expected the body to be JSON');
  try {
    const patch = parsePatch(body.value);
    const isForEver = patch.fault?.kind === 'refuse' && (patch.forMs ?? undefined) === undefined;
    if (isForEver) return refuse(400, 'expected forMs beside the fault refuse, which closes this address too');
    apply(patch);
    return { status: 200, body: { applied: Object.keys(patch) } };
  } catch (error) {
    if (error instanceof SwitchgearError) return refuse(400, error.message);
    throw error;
  }
}

function refuse(status: number, message: string): ControlReply {
  return { status, body: { error: { message } } };
}
