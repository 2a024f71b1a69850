/**
 * The `webhooks` section. Its secrets are as Standard Webhooks writes them, and whatever of it might be one (the URL's path
 * too) is never repeated. A host that is private already as it is written is refused here; a name is judged whenever it is
 * looked up.
 */
import { z } from 'zod';

import { isMaybePublicHost } from '../network/address.ts';
import { flag, milliseconds, section, text } from './fields.ts';

const secretsMax = 10;
const secretBytesMin = 24;
const secretBytesMax = 64;

const SECRET = `expected a secret: whsec_ and ${secretBytesMin} to ${secretBytesMax} random bytes in base64`;

/** One secret or a list of them; made a list. */
const secretSchema = z
  .union([z.string(), z.array(z.string({ error: SECRET }))], { error: `${SECRET}; or a list of secrets` })
  .superRefine((secret, context) => {
    const refuse = (message: string, path: number[] = []) => context.addIssue({ code: 'custom', message, path });
    if (typeof secret === 'string') {
      if (!isSecret(secret)) refuse(SECRET);
      return;
    }
    if (secret.length === 0 || secret.length > secretsMax) refuse(`expected 1 to ${secretsMax} secrets`);
    for (const [index, item] of secret.entries()) {
      if (!isSecret(item)) refuse(SECRET, [index]);
      else if (secret.indexOf(item) !== index) refuse('expected different secrets, and not the same again', [index]);
    }
  })
  .transform((secret): readonly string[] => (typeof secret === 'string' ? [secret] : secret));

/** Undefined: webhooks are off. */
export const webhooksSchema = section({
  url: text('an http or https URL').superRefine(checkUrl),
  secret: secretSchema,
  timeoutMs: milliseconds(1, 60_000).default(10_000),
  allowPrivate: flag().default(false),
})
  .superRefine(({ url, allowPrivate }, context) => {
    const hostname = URL.parse(url)?.hostname ?? '';
    if (allowPrivate || isMaybePublicHost(hostname)) return;
    const message = `expected a public host, as ${hostname} is private and allowPrivate is false`;
    context.addIssue({ code: 'custom', path: ['url'], message });
  })
  .optional();

function isSecret(value: string): boolean {
  const [, base64] = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(value) ?? [];
  if (base64 === undefined) return false;
  const key = Buffer.from(base64, 'base64');
  return key.length >= secretBytesMin && key.length <= secretBytesMax && key.toString('base64') === base64;
}

function checkUrl(value: string, context: z.RefinementCtx): void {
  const url = URL.parse(value);
  const refuse = (message: string) => context.addIssue({ code: 'custom', message });
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) refuse('expected an http or https URL');
  else if (url.username !== '' || url.password !== '')
    refuse('expected a URL without credentials; receivers know us by the signature');
  else if (url.hash !== '') refuse('expected a URL without #, which is never sent');
}
