/** Parses JSON bodies. What could confuse code behind it (a prototype as a field, endless nesting) is refused here. */
import { HttpRefusal } from './failure.ts';

/**
 * An empty body is undefined.
 * @throws {HttpRefusal} 400
 */
export function parseBody(body: string, depthMax: number): unknown {
  if (body.trim() === '') return undefined;
  const value = parseJson(body);
  checkNesting(value, depthMax);
  return value;
}

function parseJson(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    // The parser's own message quotes the body, which holds prompts.
    throw new HttpRefusal(400, `expected the body to be JSON, got: ${body.length} characters that are not`);
  }
}

/** Walks level by level, so that no depth can exhaust the stack. */
function checkNesting(root: unknown, depthMax: number): void {
  let level = [root].filter(isNested);
  for (let depth = 1; level.length > 0; depth++) {
    if (depth > depthMax)
      throw new HttpRefusal(400, `expected the body to be nested at most ${depthMax} deep, got: more`);
    // However it was escaped, this key would change objects that are built from the body.
    if (level.some((value) => Object.hasOwn(value, '__proto__'))) {
      throw new HttpRefusal(400, 'expected no field to be named __proto__, got: one');
    }
    level = level.flatMap((value) => Object.values(value).filter(isNested));
  }
}

function isNested(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
