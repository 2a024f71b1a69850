/**
 * The daemon: one service behind one HTTP server, from reading the config to the exit code. It either serves or says
 * why not and what to do; once it serves, it ends only by a signal, by a service that gave up, or by an exception that
 * nobody caught, and each of these drains first what can be drained.
 */
import type { Logger } from 'pino';
import { startService } from '../compose.ts';
import { loadConfigFile } from '../config/load.ts';
import { isLoopback } from '../config/loopback.ts';
import { invalidConfig } from '../config/problems.ts';
import type { Clock } from '../contract/clock.ts';
import type { ResolvedConfig } from '../contract/config.ts';
import { SwitchgearError } from '../contract/errors.ts';
import type { Service } from '../contract/service.ts';
import { createHttpServer } from '../http/server.ts';
import { systemClock } from '../runtime/system-clock.ts';
import { explainListenError, findHostProblem, findListenProblem, renderUrl } from './address.ts';
import { CRASH_GRACE_MS, drain, DRAIN_GRACE_MS, force, within, type Running } from './drain.ts';
import { EXIT, SIGNAL_EXIT, type ExitCode, type StopSignal } from './exit-code.ts';
import { openLog, type LogStream } from './log.ts';
import { watchSignals, type SignalSource, type SignalWatch } from './signals.ts';
import { renderWelcome } from './welcome.ts';

/** How long the last lines of the log may take to be read. */
const LOG_MAX_MS = 500;

/** What the daemon is made of; tests put others in their place. */
export interface DaemonParts {
  readonly startService: typeof startService;
  readonly createHttpServer: typeof createHttpServer;
  readonly loadConfigFile: typeof loadConfigFile;
  readonly signals: SignalSource;
  readonly clock: Clock;
  /** Where the log goes: standard output. */
  readonly output: LogStream;
}

export interface DaemonOptions {
  readonly configFile: string;
  /** Instead of `http.port`; 0 takes any free port. */
  readonly port?: number;
  /** Instead of `http.host`. */
  readonly host?: string;
  /** Accepts a host that others can reach although callers need no key. */
  readonly allowUnauthenticated?: boolean;
  /** Writes the lines of `welcome.ts` once it listens. */
  readonly isInteractive?: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Where sentences for people go: standard error. */
  readonly tell: (text: string) => void;
  readonly parts?: Partial<DaemonParts>;
}

/** Why the daemon ends. */
type Ending =
  | { readonly kind: 'signal'; readonly signal: StopSignal }
  | { readonly kind: 'crash' }
  | { readonly kind: 'service-failed'; readonly reason: string };

/** Serves until something ends it. Resolves with the exit code; never rejects. */
export async function runDaemon(options: DaemonOptions): Promise<ExitCode> {
  const parts: DaemonParts = {
    startService,
    createHttpServer,
    loadConfigFile,
    signals: process,
    clock: systemClock,
    output: process.stdout,
    ...options.parts,
  };
  try {
    const config = await readConfig(options, parts);
    const log = openLog(config.log.level, parts.output);
    const code = await serve({ options, parts, config, logger: log.logger }).catch((error: unknown) =>
      fail(options, error),
    );
    await within({ clock: parts.clock, logger: log.logger }, LOG_MAX_MS, log.flush());
    log.close();
    return code;
  } catch (error) {
    return fail(options, error);
  }
}

function fail(options: DaemonOptions, error: unknown): ExitCode {
  options.tell(`switchgear: ${error instanceof Error ? error.message : String(error)}\n`);
  if (!(error instanceof SwitchgearError)) return EXIT.crash;
  // Another process may let go of the store, and a disk may get room.
  if (error.code === 'store-unavailable') return EXIT.temporary;
  return error.code === 'invalid-config' ? EXIT.config : EXIT.crash;
}

async function readConfig(options: DaemonOptions, parts: DaemonParts): Promise<ResolvedConfig> {
  const { config } = await parts.loadConfigFile(options.configFile, { env: options.env, storeDefault: 'sqlite' });
  const host = options.host ?? config.http.host;
  const [source, path] =
    options.host === undefined ? [options.configFile, 'http.host'] : ['the command line', '--host'];
  const problem = findHostProblem(path, host, options.allowUnauthenticated === true);
  if (problem !== undefined) throw invalidConfig(source, [problem]);
  return { ...config, http: { ...config.http, host, port: options.port ?? config.http.port } };
}

interface Setup {
  readonly options: DaemonOptions;
  readonly parts: DaemonParts;
  /** The config in force; a reload replaces it. */
  config: ResolvedConfig;
  readonly logger: Logger;
}

async function serve(setup: Setup): Promise<ExitCode> {
  const { options, parts, config, logger } = setup;
  const { clock } = parts;
  // Before anything is started: a service that cannot be reached should not touch its providers or its store.
  const problem = await findListenProblem(config.http.host, config.http.port);
  if (problem !== undefined) return refuseToListen(options, problem);
  let started: Service | undefined;
  const signals = watchSignals({
    source: parts.signals,
    clock,
    reload: () => {
      if (started !== undefined) void reload(started, setup); // It logs its own failure.
    },
    crashed: (error) => logger.fatal({ actor: 'daemon', err: error }, 'nobody caught this exception: stopping'),
  });
  try {
    const service = await parts.startService(
      { configFile: options.configFile },
      { env: options.env, clock, logger, storeDefault: 'sqlite' },
    );
    started = service;
    const httpLogger = logger.child({ actor: 'http' });
    const server = parts.createHttpServer({
      service,
      config,
      readConfig: () => setup.config,
      logger: httpLogger,
      clock,
    });
    const running: Running = { service, server, clock, logger };
    httpLogger.level = 'warn'; // Fastify would tell where it listens, too.
    const failure = await listen(running, config.http);
    httpLogger.level = logger.level;
    if (failure !== undefined) {
      // It served nobody: that it stops again is no news.
      logger.level = 'silent';
      await force(running);
      return refuseToListen(options, failure);
    }
    announce(setup, running);
    return await endWell(running, signals);
  } finally {
    signals.close();
  }
}

function refuseToListen({ tell }: DaemonOptions, problem: string): ExitCode {
  tell(`switchgear: ${problem}\n`);
  return EXIT.unavailable;
}

/** Undefined when listening, else what to tell. */
async function listen({ server }: Running, { host, port }: ResolvedConfig['http']): Promise<string | undefined> {
  try {
    await server.listen({ host, port });
    return undefined;
  } catch (error) {
    return explainListenError(error, host, port);
  }
}

function announce({ options, config, logger }: Setup, { server }: Running): void {
  const { host } = config.http;
  const address = server.server.address();
  const port = typeof address === 'object' && address !== null ? address.port : config.http.port;
  const url = renderUrl(host, port);
  const providers = config.providers.map((provider) => provider.name);
  const leftOut = config.inactiveProviders.map((provider) => provider.name);
  logger.info({ actor: 'daemon', url, host, port, config: options.configFile, providers, leftOut }, 'listening');
  if (!isLoopback(host)) logger.warn({ actor: 'daemon', host }, 'everybody who reaches this host can use the service');
  if (options.isInteractive === true) options.tell(renderWelcome({ url, configFile: options.configFile, config }));
}

async function reload(service: Service, setup: Setup): Promise<void> {
  const { options, parts, config, logger } = setup;
  try {
    const next = await parts.loadConfigFile(options.configFile, { env: options.env, storeDefault: 'sqlite' });
    await service.reload();
    setup.config = { ...next.config, http: config.http };
    logger.info({ actor: 'daemon', config: options.configFile }, 'reloaded');
    const wanted = {
      ...next.config.http,
      host: options.host ?? next.config.http.host,
      port: options.port ?? next.config.http.port,
    };
    if (JSON.stringify(wanted) !== JSON.stringify(config.http)) {
      logger.warn({ actor: 'daemon' }, 'changes under http take effect at the next start');
    }
  } catch (error) {
    logger.error({ actor: 'daemon', err: error }, 'reload failed: the config read before stays in force');
  }
}

/** Waits for a reason to end and ends. */
async function endWell(running: Running, signals: SignalWatch): Promise<ExitCode> {
  const ending = await Promise.race<Ending>([
    signals.stop.then((signal) => ({ kind: 'signal', signal })),
    signals.crash.then(() => ({ kind: 'crash' })),
    failed(running.service).then((reason) => ({ kind: 'service-failed', reason })),
  ]);
  const forced = signals.stopNow.then(async (signal) => {
    running.logger.warn({ actor: 'daemon', signal }, 'told twice: stopping now');
    await force(running);
    return SIGNAL_EXIT[signal];
  });
  return await Promise.race([forced, end(running, ending, signals)]);
}

async function end(running: Running, ending: Ending, signals: SignalWatch): Promise<ExitCode> {
  const { logger } = running;
  switch (ending.kind) {
    case 'signal': {
      logger.info({ actor: 'daemon', signal: ending.signal, graceMs: DRAIN_GRACE_MS }, 'told to stop');
      let hasCrashed = false;
      void signals.crash.then(() => (hasCrashed = true)); // It never rejects.
      const isDrained = await drain(running, DRAIN_GRACE_MS);
      const code = isDrained && !hasCrashed ? EXIT.ok : EXIT.crash;
      logger.info({ actor: 'daemon', code }, 'stopped');
      return code;
    }
    case 'crash':
      await drain(running, CRASH_GRACE_MS);
      return EXIT.crash;
    case 'service-failed':
      logger.fatal({ actor: 'daemon', reason: ending.reason }, 'the service gave up: stopping');
      await drain(running, 0);
      return EXIT.crash;
  }
}

function failed(service: Service): Promise<string> {
  return new Promise((resolve) => {
    service.on('service.failed', ({ reason }) => resolve(reason));
    if (service.state === 'failed') resolve('it failed while starting');
  });
}
