import { expect, test } from 'vitest';
import { DurableStory } from '../support/durable-story.ts';
import { FragileWorld } from '../support/fragile-world.ts';

test('calm', async () => {
  using world = new FragileWorld();
  const story = new DurableStory(world);
  const t = performance.now();
  await story.live();
  console.log(performance.now() - t, world.operations.length, JSON.stringify(Object.fromEntries([...Map.groupBy(world.operations, x=>x)].map(([k,v])=>[k,v.length]))), world.clock.nowMs());
  story.judge(true);
  expect(world.operations.length).toBeGreaterThan(100);
});
