import { readFile, writeFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { defineStep, Recipe } from '../../src/core/recipe.ts';
import { runRecipe } from '../../src/core/run.ts';
import type { Store } from '../../src/core/store.ts';
import { newStore } from './toy-build.ts';

const seen: unknown[] = [];
const remembering = defineStep({
  name: 'remember',
  config: z.strictObject({ n: z.int() }),
  inputs: {},
  outputs: { it: 'score' },
  async run({ config, outputs, previous }) {
    const before = await previous();
    seen.push(before && { changes: before.changes, text: await readFile(before.outputs.it ?? '', 'utf8') });
    await writeFile(outputs.it, String(config.n));
  },
});
async function run(store: Store, n: number): Promise<void> {
  const recipe = new Recipe();
  recipe.add(remembering, { config: { n }, inputs: {} });
  await runRecipe(recipe, { store, emit: () => undefined, signal: new AbortController().signal });
}

test('a step sees what it made the last time and what has changed since; a lost output is nothing to see', async () => {
  const store = await newStore();
  await run(store, 1);
  await run(store, 2);
  // Recalled, not run; it is the latest from then on.
  await run(store, 1);
  await run(store, 3);
  expect(seen).toEqual([undefined, { changes: ['n 1 → 2'], text: '1' }, { changes: ['n 1 → 3'], text: '1' }]);
});
