/** The public API. */
export { startService, type ServiceDeps } from './compose.ts';
export type { SwitchgearConfig, ConfigSource } from './config/input.ts';
export { SwitchgearError, type ErrorCode, type ErrorReport } from './contract/errors.ts';
export {
  ERROR_POLICY,
  FAILURE_POLICY,
  type ErrorMeaning,
  type FailureKind,
  type FailureMeaning,
} from './contract/failures.ts';
export type {
  Adapter,
  AdapterCall,
  AdapterDeps,
  AdapterEmbedCall,
  AdapterEmbedReply,
  AdapterPart,
  AdapterReply,
  CreateAdapter,
  Failure,
  Feature,
} from './contract/adapter.ts';
export type { Batch, BatchCounts, BatchId, BatchOptions, BatchResult } from './contract/batches.ts';
export type { Clock, TimerHandle } from './contract/clock.ts';
export type { ConfigProblem, Credential, ModelConfig, ProviderConfig, ResolvedConfig } from './contract/config.ts';
export type { EventName, Events, Unsubscribe } from './contract/events.ts';
export type { LedgerEntry, LedgerQuery } from './contract/records.ts';
export type {
  AssistantMessage,
  CompletionRequest,
  ContentPart,
  Delivery,
  EmbeddingRequest,
  Message,
  Priority,
  ReasoningEffort,
  RequestOptions,
  ResponseFormat,
  ToolChoice,
  ToolDefinition,
} from './contract/request.ts';
export type {
  AttemptReport,
  CompletionResponse,
  CompletionStream,
  Cost,
  EmbeddingResponse,
  FinishReason,
  Money,
  OutcomeKind,
  RequestId,
  ResultStream,
  StreamPart,
  ToolCall,
  Usage,
} from './contract/response.ts';
export type { ProviderPatch, RequestResult, Service, SupervisorView } from './contract/service.ts';
export type {
  ChildState,
  CostSummary,
  ExplainedCandidate,
  HealthLabel,
  ModelListing,
  ProviderHealth,
  ProviderState,
} from './contract/state.ts';
