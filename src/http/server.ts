/**
 * The HTTP edge of a service: an HTTP server with all routes, not yet listening. The wires differ in what they parse and
 * render; everything else (guards, limits, headers, errors, disconnects) is the same for all and is put together here.
 */
import fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  LogController,
} from 'fastify';
import type { Clock } from '../contract/clock.ts';
import type { ResolvedConfig } from '../contract/config.ts';
import type { Service } from '../contract/service.ts';
import { registerAdminRoutes } from './admin.ts';
import { createAnthropicWire } from './anthropic/wire.ts';
import { parseBody } from './body.ts';
import { createCompletionHandler } from './complete.ts';
import { type Edge, HTTP_LIMITS, type HttpLimits } from './edge.ts';
import { createEmbeddingHandler } from './embed.ts';
import { createScrub, HttpRefusal, toFailure } from './failure.ts';
import { createGuard } from './guard.ts';
import { registerHealthRoutes } from './health.ts';
import { isAnthropic, registerModelRoutes } from './models.ts';
import { registerBatchRoutes } from './openai/batches.ts';
import { registerFileRoutes } from './openai/files.ts';
import { openaiWire } from './openai/wire.ts';
import { registerRequestRoutes } from './requests.ts';
import { failureHeaders } from './response-headers.ts';
import { answerClientError, boundSockets } from './sockets.ts';
import type { Wire } from './wire.ts';

export interface HttpServerOptions {
  readonly service: Service;
  /** What it listens with. */
  readonly config: ResolvedConfig;
  /** The config in force, where a reload can change it; what is under `http` stays. Default: `config`. */
  readonly readConfig?: () => ResolvedConfig;
  readonly logger?: FastifyBaseLogger;
  readonly clock: Clock;
  /** Default `HTTP_LIMITS`. */
  readonly limits?: Partial<HttpLimits>;
}

function createEdge({ service, config, readConfig = () => config, clock, limits }: HttpServerOptions): Edge {
  return {
    service,
    get config() {
      return readConfig();
    },
    clock,
    limits: { ...HTTP_LIMITS, ...limits },
    scrub: (message) => createScrub(readConfig())(message),
  };
}

const PARAM_LENGTH_MAX = 256;
const HEADER_BYTES_MAX = 16_384;

/** Builds the server; `listen({ host, port })` and `close()` are the caller's. */
export function createHttpServer(options: HttpServerOptions): FastifyInstance {
  const { config, logger } = options;
  const edge = createEdge(options);
  const anthropicWire = createAnthropicWire(() => edge.config);
  const chooseWire = (request: FastifyRequest) => (speaksAnthropic(request) ? anthropicWire : openaiWire);
  const sendFailure = (error: unknown, request: FastifyRequest, reply: FastifyReply) =>
    replyFailure({ error, edge, wire: chooseWire(request), request, reply });

  const app = createApp(edge, logger, sendFailure);
  boundSockets(app.server, edge.limits);
  parseJsonOnly(app, edge.limits);
  const guard = createGuard(config.http.host);
  app.addHook('onRequest', async (request) => guard(request));
  const routes = new Map<string, string>();
  app.addHook('onRoute', ({ method, url }) => {
    if (typeof method === 'string' && method !== 'HEAD') routes.set(url, method);
  });
  app.setErrorHandler(sendFailure);
  app.setNotFoundHandler((request, reply) => {
    return sendFailure(new HttpRefusal(404, describeMiss(routes, request)), request, reply);
  });

  app.post('/v1/chat/completions', createCompletionHandler(edge, openaiWire));
  app.post('/v1/messages', createCompletionHandler(edge, anthropicWire));
  app.post('/v1/embeddings', createEmbeddingHandler(edge));
  registerModelRoutes(app, edge);
  registerRequestRoutes(app, edge);
  registerFileRoutes(app, edge);
  registerBatchRoutes(app, edge);
  registerHealthRoutes(app, edge);
  registerAdminRoutes(app, edge);
  return app;
}

type SendFailure = (error: unknown, request: FastifyRequest, reply: FastifyReply) => void;

function createApp(edge: Edge, logger: FastifyBaseLogger | undefined, sendFailure: SendFailure): FastifyInstance {
  const { config, limits } = edge;
  return fastify({
    ...(logger === undefined ? { logger: false } : { loggerInstance: logger }),
    // A line per request is telemetry's to write, by requestId; here it would repeat URLs.
    logController: new LogController({ disableRequestLogging: true }),
    // While closing, requests of kept-alive sockets get the service's own answer in the shape of their wire.
    return503OnClosing: false,
    bodyLimit: config.http.bodyLimitBytes,
    requestTimeout: limits.requestTimeoutMs,
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    routerOptions: { maxParamLength: PARAM_LENGTH_MAX },
    clientErrorHandler: answerClientError,
    frameworkErrors: (error, request, reply) => {
      const refusal =
        error.code === 'FST_ERR_MAX_PARAM_LENGTH'
          ? new HttpRefusal(
              404,
              `expected names in the path to be at most ${PARAM_LENGTH_MAX} characters long, got: more`,
            )
          : new HttpRefusal(400, 'expected the path to be a well-formed URL, got: something malformed');
      sendFailure(refusal, request, reply);
    },
    http: {
      headersTimeout: limits.headersTimeoutMs,
      connectionsCheckingInterval: limits.checkIntervalMs,
      maxHeaderSize: HEADER_BYTES_MAX,
      insecureHTTPParser: false,
    },
  });
}

/** Any other content type is refused; text/plain would let a page of another origin send without asking. */
function parseJsonOnly(app: FastifyInstance, limits: HttpLimits): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'string' }, async (_request: FastifyRequest, body: string) =>
    parseBody(body, limits.bodyDepthMax),
  );
}

interface FailureJob {
  readonly error: unknown;
  readonly edge: Edge;
  readonly wire: Wire;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
}

function replyFailure({ error, edge, wire, request, reply }: FailureJob): void {
  const failure = toFailure(error, edge.scrub);
  if (failure.isDefect)
    request.log.error({ err: error, method: request.method, path: pathOf(request) }, 'the edge failed');
  else
    request.log.debug(
      { code: failure.code, status: failure.status, requestId: failure.requestId },
      'request refused or failed',
    );
  void reply.code(failure.status).headers(failureHeaders(failure, wire)).send(wire.renderFailure(failure));
}

/** Judged by the route that matched; a path that matched none is taken at its word. */
function speaksAnthropic(request: FastifyRequest): boolean {
  const path = request.routeOptions.url ?? pathOf(request);
  return path.includes('/v1/messages') || (path.startsWith('/v1/models') && isAnthropic(request));
}

/** The path without its query, which is the client's own. */
function pathOf(request: FastifyRequest): string {
  return request.url.split('?', 1)[0]?.slice(0, PARAM_LENGTH_MAX) ?? '/';
}

/** Names the route that was probably meant: a base URL with `/v1` missing or doubled, a slash too many, another method. */
function describeMiss(routes: ReadonlyMap<string, string>, request: FastifyRequest): string {
  const path = pathOf(request);
  const got = `expected a route of this server, got: ${request.method} ${path}`;
  const trimmed = path.replace(/\/+$/, '');
  const near = [trimmed, `/v1${trimmed}`, trimmed.replace(/^\/v1(?=\/v1\/)/, '')];
  const meant = near.find((url) => routes.has(url));
  return meant === undefined ? got : `${got}; did you mean ${routes.get(meant)} ${meant}?`;
}
