/**
 * The few lines a person reads who has just started the daemon by hand: that it runs, how to try it, who will answer,
 * and what would change that. They go to standard error; standard output is for logs.
 */
import type { ResolvedConfig } from '../contract/config.ts';

export interface Welcome {
  readonly url: string;
  readonly configFile: string;
  readonly config: ResolvedConfig;
}

/** Renders the lines, with a closing newline. */
export function renderWelcome({ url, configFile, config }: Welcome): string {
  const model = config.defaults.model ?? Object.keys(config.models)[0] ?? 'MODEL';
  const json = `-H 'content-type: application/json'`;
  const messages = `"messages":[{"role":"user","content":"Hello"}]`;
  return [
    '',
    `Switchgear listens on ${url} (config: ${configFile}).`,
    '',
    'Ask like OpenAI, like Anthropic, or submit now and fetch the result later:',
    `  curl ${url}/v1/chat/completions ${json} -d '{"model":"${model}",${messages}}'`,
    `  curl ${url}/v1/messages ${json} -H 'anthropic-version: 2023-06-01' -d '{"model":"${model}","max_tokens":100,${messages}}'`,
    `  curl ${url}/v1/requests ${json} -d '{"model":"${model}",${messages}}'; curl '${url}/v1/requests/ID?wait=30'`,
    '',
    ...renderProviders(config),
    '',
    'Unchanged OpenAI and Anthropic clients work by their base URL. More: README.md, docs/, and "switchgear --help".',
    'Ctrl-C stops it; what is in flight gets 25 s to finish.',
    '',
    '',
  ].join('\n');
}

function renderProviders(config: ResolvedConfig): string[] {
  const active = config.providers.map((provider) => `${provider.name} (${provider.adapter})`);
  const lines = [`Providers: ${active.length === 0 ? 'none' : active.join(', ')}`];
  for (const { name, reason } of config.inactiveProviders) lines.push(`Left out:  ${name}: ${reason}`);
  if (config.providers.every((provider) => provider.adapter === 'mock')) {
    lines.push('Answers come from the built-in mock until a real provider has its key.');
  }
  return lines;
}
