/**
 * How the process ends. The numbers are those of sysexits.h, so that shells, cron and service managers can tell what is
 * worth trying again (75), what needs a changed command (64, 65), and what needs an operator (69, 78).
 */

export const EXIT = {
  ok: 0,
  /** Unknown command or option, or an argument that cannot be meant. */
  usage: 64,
  /** The request itself is at fault: sending it again unchanged gives the same. */
  request: 65,
  /** The daemon cannot be reached, or its port is taken. */
  unavailable: 69,
  /** A mistake of ours: an exception nobody expected, or the service gave up. */
  crash: 70,
  /** The output could not be written. */
  output: 74,
  /** May succeed later: overloaded, rate-limited, timed out, still running. */
  temporary: 75,
  /** A provider failed for good, or what answered does not speak like Switchgear. */
  protocol: 76,
  /** A key, a budget or a permission is missing. */
  denied: 77,
  /** The config, or the Node that runs it. */
  config: 78,
} as const;

/** The exit code of a process that ended because of a signal it was told twice, or whose user pressed Ctrl-C. */
export const SIGNAL_EXIT = { SIGINT: 130, SIGTERM: 143 } as const;

export type StopSignal = keyof typeof SIGNAL_EXIT;

/** A process exit code, 0 to 255. */
export type ExitCode = (typeof EXIT)[keyof typeof EXIT] | (typeof SIGNAL_EXIT)[StopSignal];
