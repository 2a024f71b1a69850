/** The handler of the embeddings API. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { watchCaller } from './caller.ts';
import type { Edge } from './edge.ts';
import { readFeatureHeader } from './feature-headers.ts';
import { parseEmbedding, renderEmbedding } from './openai/embedding.ts';
import { openaiWire } from './openai/wire.ts';
import { parseRequestOptions } from './request-headers.ts';
import { answerHeaders } from './response-headers.ts';

export function createEmbeddingHandler(edge: Edge) {
  return async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const call = parseEmbedding(request.body);
    const embedding = { ...call.request, ...readFeatureHeader(request.headers, openaiWire.name) };
    const options = { ...parseRequestOptions(request.headers), signal: watchCaller(reply.raw) };
    const response = await edge.service.embedding(embedding, options);
    return reply.headers(answerHeaders(response, openaiWire)).send(renderEmbedding(response, call.isBase64));
  };
}
