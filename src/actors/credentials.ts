/**
 * What a provider actor knows of its keys, as plain values, and the pure changes to it. A key has a gate ("not before"), a
 * row of refusals, and may be taken out: for good, until an operator acts, or until the reset that the provider named. A
 * key that was replaced is another key, so a late report on the old one changes nothing.
 */
import type { Credential } from '../contract/config.ts';
import type { FailureMeaning } from '../contract/failures.ts';

/** Refusals in a row that take a credential out. */
const UNAUTHORIZED_MAX = 2;

/** The credential that a permit was given for. */
export interface CredentialRef {
  readonly credentialId: string;
  /** A report on a key that was replaced meanwhile says nothing about the new one. */
  readonly credentialVersion: number;
}

export interface CredentialMemory {
  readonly id: string;
  readonly version: number;
  readonly unauthorizedInRow: number;
  readonly blocked: 'unauthorized' | 'quota-exhausted' | undefined;
  /** The monotonic moment at which the block ends by itself; undefined: an operator has to end it. */
  readonly blockedUntilMs: number | undefined;
  /** Gate: nothing is sent before this monotonic moment. */
  readonly heldUntilMs: number;
}

type BlockedCredential = CredentialMemory & { readonly blocked: NonNullable<CredentialMemory['blocked']> };

/** What an attempt says of the credential it used. */
export interface CredentialReport {
  readonly verdict: 'success' | FailureMeaning['breaker'];
  readonly effect: FailureMeaning['effect'];
  /** How long until the provider takes an exhausted credential again; left out: nobody knows. */
  readonly exhaustedMs?: number;
}

type Credentials = readonly CredentialMemory[];

export function createCredential(id: string, version: number): CredentialMemory {
  return { id, version, unauthorizedInRow: 0, blocked: undefined, blockedUntilMs: undefined, heldUntilMs: 0 };
}

/** A key that stays keeps its gate and its block, wherever it stands in the list now. */
export function keepCredentials(
  known: Credentials,
  before: readonly Credential[],
  after: readonly Credential[],
): Credentials {
  const version = 1 + Math.max(...known.map((credential) => credential.version), 0);
  return after.map(({ id, apiKey }) => {
    const same = before.find((credential) => credential.apiKey === apiKey);
    const kept = known.find((credential) => credential.id === same?.id);
    if (kept === undefined) return createCredential(id, version);
    return kept.id === id ? kept : { ...kept, id, version };
  });
}

/** Holds the gate of one credential. The deadline only ever moves later. */
export function holdCredential(credentials: Credentials, ref: CredentialRef, untilMs: number): Credentials {
  return change(credentials, ref, (credential) => ({
    ...credential,
    heldUntilMs: Math.max(credential.heldUntilMs, untilMs),
  }));
}

/** Takes a credential out when its money is gone or it was refused twice in a row; a success ends such a row. */
export function judgeCredential(
  credentials: Credentials,
  ref: CredentialRef,
  report: CredentialReport,
  nowMs: number,
): Credentials {
  switch (report.effect) {
    case 'exhaust-credential': {
      const blockedUntilMs = report.exhaustedMs === undefined ? undefined : nowMs + report.exhaustedMs;
      return change(credentials, ref, (credential) => ({ ...credential, blocked: 'quota-exhausted', blockedUntilMs }));
    }
    case 'count-unauthorized':
      return change(credentials, ref, countUnauthorized);
    case 'hold-gate':
    case 'shrink-limit':
    case 'quarantine-model':
    case 'none':
      if (report.verdict !== 'success') return credentials;
      return change(credentials, ref, (credential) => ({ ...credential, unauthorizedInRow: 0 }));
  }
}

function countUnauthorized(credential: CredentialMemory): CredentialMemory {
  const unauthorizedInRow = credential.unauthorizedInRow + 1;
  if (unauthorizedInRow < UNAUTHORIZED_MAX) return { ...credential, unauthorizedInRow };
  return { ...credential, unauthorizedInRow, blocked: 'unauthorized', blockedUntilMs: undefined };
}

/** Gives every credential another chance; their gates stay. */
export function unblockCredentials(credentials: Credentials): Credentials {
  return credentials.map((credential) => ({
    ...credential,
    unauthorizedInRow: 0,
    blocked: undefined,
    blockedUntilMs: undefined,
  }));
}

/** Whether a credential is taken out now. */
export function isBlocked({ blocked, blockedUntilMs }: CredentialMemory, nowMs: number): boolean {
  return blocked !== undefined && (blockedUntilMs === undefined || blockedUntilMs > nowMs);
}

/** The credentials that are taken out in `after` and were not in `before`. */
export function newlyBlocked(before: Credentials, after: Credentials, nowMs: number): readonly BlockedCredential[] {
  const wasBlocked = (id: string) => before.some((credential) => credential.id === id && isBlocked(credential, nowMs));
  return after.filter(
    (credential): credential is BlockedCredential => isBlocked(credential, nowMs) && !wasBlocked(credential.id),
  );
}

/** Whether only an operator brings a credential back. */
export function isBlockedForGood({ blocked, blockedUntilMs }: CredentialMemory): boolean {
  return blocked !== undefined && blockedUntilMs === undefined;
}

/** The credential to use now: usable, not held, not in `avoid` if another can be had; the first of the list. */
export function pickCredential(
  credentials: Credentials,
  avoid: ReadonlySet<string>,
  nowMs: number,
): CredentialMemory | undefined {
  const open = credentials.filter((credential) => !isBlocked(credential, nowMs) && credential.heldUntilMs <= nowMs);
  return open.find((credential) => !avoid.has(credential.id)) ?? open[0];
}

/** The credential that can be used first, and in how many ms: 0 for now; undefined when an operator has to act. */
export function nextCredential(
  credentials: Credentials,
  nowMs: number,
): { readonly credential: CredentialMemory; readonly waitMs: number } | undefined {
  let next: { credential: CredentialMemory; waitMs: number } | undefined;
  for (const credential of credentials) {
    if (isBlockedForGood(credential)) continue;
    const waitMs = Math.max(0, Math.max(credential.heldUntilMs, credential.blockedUntilMs ?? 0) - nowMs);
    if (next === undefined || waitMs < next.waitMs) next = { credential, waitMs };
  }
  return next;
}

function change(
  credentials: Credentials,
  { credentialId, credentialVersion }: CredentialRef,
  make: (credential: CredentialMemory) => CredentialMemory,
): Credentials {
  return credentials.map((credential) =>
    credential.id === credentialId && credential.version === credentialVersion ? make(credential) : credential,
  );
}
