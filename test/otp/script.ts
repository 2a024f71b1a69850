/**
 * What a fault script is and what is written down of its run, in the form in which both are kept in traces.jsonl. A script is
 * a tree and steps that are played on it one after another, each when the tree has become quiet after the one before. Paths
 * name children from the root down, `s1/a`; the root's own is `.`. The same words are read by recorder.erl.
 */

/** How a worker answers the request to end: at once, after 15 ms, never, with another reason, with `normal`. */
export type StopAnswer = 'obey' | 'late' | 'never' | 'wrong' | 'normal';

/** What one attempt to start gives; with `asks` it fails after these were asked of the supervisor that starts. */
export type StartResult = 'ok' | 'error' | 'ignore' | { readonly asks: readonly Request[] };

/** What is left out is the default on both sides: `permanent`; 5,000 ms, for supervisors `infinity`. */
export interface Limits {
  readonly restart?: 'permanent' | 'transient' | 'temporary';
  readonly shutdown?: number | 'brutal-kill' | 'infinity';
}

export interface TemplatePlan extends Limits {
  /** Default `obey`. */
  readonly stop?: StopAnswer;
}

export interface WorkerPlan extends TemplatePlan {
  readonly id: string;
  readonly type?: never;
  readonly significant?: true;
  /** By attempt; each further one is `ok`. */
  readonly starts?: readonly StartResult[];
}

export interface SupervisorPlan extends Limits {
  readonly id: string;
  readonly type: 'supervisor';
  readonly significant?: true;
  readonly strategy: 'one-for-one' | 'one-for-all' | 'rest-for-one';
  readonly intensity: number;
  /** Whole seconds. */
  readonly period: number;
  readonly autoShutdown?: 'any-significant' | 'all-significant';
  readonly children: readonly ChildPlan[];
}

export interface PoolPlan extends Limits {
  readonly id: string;
  readonly type: 'pool';
  readonly significant?: true;
  readonly intensity: number;
  readonly period: number;
  readonly template: TemplatePlan;
}

export type ChildPlan = WorkerPlan | SupervisorPlan | PoolPlan;

/** How a process is made to end; `shutdown:x` is `{shutdown, x}`. */
export type EndReason = 'normal' | 'shutdown' | 'shutdown:x' | 'error' | 'killed';

/** Something asked of the supervisor or pool at `at`. */
export type Request =
  | { readonly do: 'start-child'; readonly at: string; readonly plan: ChildPlan }
  | {
      readonly do: 'start-instance';
      readonly at: string;
      readonly name: string;
      readonly starts: readonly StartResult[];
    }
  | { readonly do: 'terminate-child' | 'restart-child' | 'delete-child'; readonly at: string; readonly id: string }
  | { readonly do: 'terminate-instance'; readonly at: string; readonly name: string }
  | { readonly do: 'count-children' | 'list-children'; readonly at: string };

export type Step =
  | Request
  | { readonly do: 'exit'; readonly path: string; readonly reason: EndReason }
  /** Children of `at` that have all ended before it hears of the first. */
  | {
      readonly do: 'exit-together';
      readonly at: string;
      readonly paths: readonly string[];
      readonly reason: EndReason;
    }
  /** A child of `request.at` that has ended, and a request that arrives right behind the news of it. */
  | {
      readonly do: 'exit-then-ask';
      readonly path: string;
      readonly reason: EndReason;
      readonly request: Request;
    }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'stop' };

/** As it is generated. Of each step's alternatives the first is played whose process or supervisor is alive then. */
export interface Script {
  readonly name: string;
  readonly root: SupervisorPlan | PoolPlan;
  readonly steps: readonly (readonly Step[])[];
}

/** What one step did. */
export interface Outcome {
  /** Left out when it is `ok`. */
  readonly answer?: string;
  /** `+ path n`, `! path n`, `~ path n`, `- path n reason`, in the order in which they happened; see recorder.erl. */
  readonly events?: readonly string[];
  /** Answers to what failing starts asked, and to what was asked behind an exit. */
  readonly asked?: readonly string[];
  /** Paths of supervisors that exceeded their intensity. */
  readonly gaveUp?: readonly string[];
}

/** One line of traces.jsonl: a script with the alternatives that were played, and what OTP did. */
export interface RecordedScript {
  readonly name: string;
  readonly root: SupervisorPlan | PoolPlan;
  readonly boot: Outcome;
  readonly steps: readonly ({ readonly step: Step } & Outcome)[];
}

/** The first line of traces.jsonl. */
export interface RecordingHead {
  readonly otp: string;
  readonly stdlib: string;
  readonly seed: string;
  readonly scripts: number;
}
