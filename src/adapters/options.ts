/** Says what is wrong with the `options` of a provider, each mistake by its path. */
export function describeIssues(
  provider: string,
  issues: readonly { readonly path: readonly PropertyKey[]; readonly message: string }[],
): string {
  return issues
    .map(({ path, message }) => `providers.${[provider, 'options', ...path.map(String)].join('.')}: ${message}`)
    .join('; ');
}
