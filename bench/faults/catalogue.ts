/**
 * The sixteen faults, after the public catalogue Failover Bench v0.1, in the order of their numbers. The primary behaves as
 * written for as long as nothing else is said; a request after recovery finds it healthy. Where the catalogue leaves a
 * choice, the harder reading was taken: docs/faults.md says which.
 */
import type { Fault, FaultDelivery, PlannedRequest } from './fault.ts';
import {
  answeredByFallback,
  atMost,
  billsAnswerOnly,
  describeOutage,
  exactlyOne,
  fewProbes,
  namesFallback,
  neverReaches,
  nextWorks,
  notRoutedAround,
  reasonReaches,
  retriedHere,
  servedWhileDown,
  tellsUsage,
  usedAgain,
  within,
} from './rules.ts';

const STREAMED: readonly FaultDelivery[] = ['live', 'whole'];
const ALL: readonly FaultDelivery[] = ['unstreamed', ...STREAMED];
const ONE: readonly PlannedRequest[] = [{}];
const ONE_AND_NEXT: readonly PlannedRequest[] = [{}, { isAfterRecovery: true }];

/** Length of the outage of S15, and how often it is asked meanwhile. */
const DOWN_MS = 60_000;
const ASK_EVERY_MS = 4_000;
const RECOVERED_WITHIN_MS = 30_000;
const FLAP_REQUESTS = 1 + Math.floor((DOWN_MS + RECOVERED_WITHIN_MS) / ASK_EVERY_MS);

const always = (fault: string) => ({ failures: [{ rate: 1, fault }] });
const once = (fault: string) => ({ script: [fault] });

/** What the policy refusals of the two wires say. */
const POLICY_REASON = /rejected as a result of our safety system|blocked by content filtering policy/u;

/** The faults by their numbers. */
export const CATALOGUE: readonly Fault[] = [
  {
    id: 'S01',
    title: 'first attempt 429 with `Retry-After: 2`, later ones succeed',
    expected: 'asked again at the same provider, not before 1.8 s; at most 2 attempts in the first 1.5 s',
    upstreams: { primary: once('429-2') },
    deliveries: ALL,
    requests: ONE,
    hangMs: 20_000,
    ideal: 'answer',
    rules: [atMost(2, 1_500), retriedHere(1_800)],
  },
  {
    id: 'S02',
    title: '429 for ever, no Retry-After',
    expected: 'at most 4 attempts in 3 s and 6 in all, then the fallback answers',
    upstreams: { primary: always('429') },
    deliveries: ALL,
    requests: ONE,
    hangMs: 40_000,
    ideal: 'answer',
    rules: [atMost(4, 3_000), atMost(6), answeredByFallback('must')],
  },
  {
    id: 'S03',
    title: '500 once, then healthy',
    expected: 'retried at the same provider',
    upstreams: { primary: once('500') },
    deliveries: ALL,
    requests: ONE,
    hangMs: 20_000,
    ideal: 'answer',
    rules: [retriedHere()],
  },
  {
    id: 'S04',
    title: '503 for ever',
    expected: 'at most 6 attempts, then the fallback answers',
    upstreams: { primary: always('503') },
    deliveries: ALL,
    requests: ONE,
    hangMs: 40_000,
    ideal: 'answer',
    rules: [atMost(6), answeredByFallback('must')],
  },
  {
    id: 'S05',
    title: 'connection reset before any byte, once',
    expected: 'retried or failed over',
    upstreams: { primary: once('reset') },
    deliveries: ALL,
    requests: ONE,
    hangMs: 20_000,
    ideal: 'answer',
    rules: [],
  },
  {
    id: 'S06',
    title: 'request accepted, then silence for 120 s',
    expected: 'one attempt at the silent provider, then the fallback; inside 100 s',
    upstreams: { primary: always('hang-120000') },
    deliveries: ALL,
    requests: ONE,
    hangMs: 130_000,
    ideal: 'answer',
    rules: [within(100_000, 'must'), exactlyOne('conduct'), answeredByFallback('conduct')],
  },
  {
    id: 'S07',
    title: 'headers at once, first token after 20 s',
    expected: 'answered by the fallback within 15 s',
    upstreams: { primary: always('slow-20000') },
    deliveries: STREAMED,
    requests: ONE,
    hangMs: 60_000,
    ideal: 'answer',
    rules: [within(15_000, 'conduct'), answeredByFallback('conduct')],
  },
  {
    id: 'S08',
    title: 'the answer dies after 40 of 60 tokens, every time',
    expected: 'never a truncated success; whole, or broken off with an error where it was delivered live',
    upstreams: { primary: always('cut-40') },
    deliveries: ALL,
    requests: ONE,
    hangMs: 40_000,
    ideal: 'answer',
    rules: [],
  },
  {
    id: 'S09',
    title: 'the answer goes silent after 20 tokens, and dies 30 s later',
    expected: 'the same, inside 45 s, and the next request is answered',
    upstreams: { primary: always('stall-cut-20-30000') },
    deliveries: ALL,
    requests: ONE_AND_NEXT,
    hangMs: 70_000,
    ideal: 'answer',
    rules: [within(45_000, 'must'), nextWorks()],
  },
  {
    id: 'S10',
    title: 'the tenth event is invalid JSON, the rest is fine',
    expected: 'the same, and the next request is answered',
    upstreams: { primary: always('bad-json-10') },
    deliveries: ALL,
    requests: ONE_AND_NEXT,
    hangMs: 30_000,
    ideal: 'answer',
    rules: [nextWorks()],
  },
  {
    id: 'S11',
    title: 'a complete stream that ends without its last event (`[DONE]`, `message_stop`)',
    expected: 'finished within 8 s, with usage',
    upstreams: { primary: always('no-done-end') },
    deliveries: STREAMED,
    requests: ONE,
    hangMs: 30_000,
    ideal: 'answer',
    rules: [within(8_000, 'must'), tellsUsage()],
  },
  {
    id: 'S12',
    title: '400 context length exceeded',
    expected: 'exactly one attempt at that model; the model with the larger window answers',
    upstreams: { primary: always('context') },
    deliveries: ALL,
    requests: ONE,
    hangMs: 20_000,
    ideal: 'answer',
    rules: [exactlyOne('must'), answeredByFallback('must')],
  },
  {
    id: 'S13',
    title: '400 content policy violation',
    expected: "exactly one attempt; the provider's reason reaches the caller; not routed around",
    upstreams: { primary: always('policy') },
    deliveries: ALL,
    requests: ONE,
    hangMs: 20_000,
    ideal: 'refusal',
    rules: [exactlyOne('must'), reasonReaches(POLICY_REASON), notRoutedAround()],
  },
  {
    id: 'S14',
    title: 'the answer dies after 40 tokens, and the fallback refuses to continue a begun one',
    expected: 'that refusal never reaches the caller; otherwise as S08',
    upstreams: { primary: always('cut-40'), fallback: always('no-prefill') },
    deliveries: ALL,
    requests: ONE,
    hangMs: 40_000,
    ideal: 'answer',
    rules: [neverReaches(/prefill/iu, "the fallback's refusal")],
  },
  {
    id: 'S15',
    title: 'down for 60 s, a request every 4 s, then healthy',
    expected:
      'every request answered; primary used again within 30 s of recovery; while it is down no more attempts at it than requests',
    upstreams: { primary: { fault: '503', forMs: DOWN_MS } },
    deliveries: ALL,
    requests: Array.from({ length: FLAP_REQUESTS }, (_request, index) => ({ notBeforeMs: index * ASK_EVERY_MS })),
    hangMs: 30_000,
    ideal: 'answer',
    rules: [servedWhileDown(DOWN_MS), usedAgain(DOWN_MS, RECOVERED_WITHIN_MS), fewProbes(DOWN_MS)],
    describe: describeOutage(DOWN_MS),
  },
  {
    id: 'S16',
    title: '503 for ever, the fallback answers',
    expected: "the answer names the fallback's model and usage; failed attempts are not billed",
    upstreams: { primary: always('503') },
    deliveries: ALL,
    requests: ONE,
    hangMs: 40_000,
    ideal: 'answer',
    rules: [namesFallback(), tellsUsage(), billsAnswerOnly(), atMost(6)],
  },
];

/** One more that the catalogue does not count: S11 with a connection that stays open. */
export const BEYOND: readonly Fault[] = [
  {
    id: 'S11+',
    title: 'as S11, and the connection stays open',
    expected: 'finished within 8 s, with usage',
    upstreams: { primary: always('no-done') },
    deliveries: STREAMED,
    requests: ONE,
    hangMs: 30_000,
    ideal: 'answer',
    rules: [within(8_000, 'must'), tellsUsage()],
  },
];
