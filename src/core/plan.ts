import type { Recipe } from './recipe.ts';
import type { Store } from './store.ts';

export interface PlannedStep {
  readonly step: string;
  readonly status: 'cached' | 'run' | 'unknown';
  readonly because: string;
}
/** What `runRecipe` would do now and why, without running anything. */
export function planRecipe(_recipe: Recipe, _options: { readonly store: Store; readonly only?: readonly string[]; readonly signal?: AbortSignal }): Promise<readonly PlannedStep[]> {
  throw new Error('not yet');
}
