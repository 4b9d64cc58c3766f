import type { CurvePoint } from '../../compress/prune-curve.ts';
import type { MeasuredPruning, PruningView } from '../../pipeline/views/pruning.ts';
import type { UserAction } from './action.ts';
import { sure } from './questions.ts';
import type { UiState } from './state.ts';

/** What the Prune screen's budget is counted in: what `keepMacs` or `keepParameters` of the project file is. */
export type Measure = 'macs' | 'parameters';
/** The budget under the cursor: a share to keep, what it would leave exactly (absent: less cannot be left), and accuracies measured at that very size. */
export interface PruneChoice {
  readonly by: Measure;
  readonly keep: number;
  readonly point: CurvePoint | undefined;
  readonly measured: readonly MeasuredPruning[];
}

const settingOf = (by: Measure) => (by === 'macs' ? 'keepMacs' : 'keepParameters');
const words = (by: Measure) => (by === 'macs' ? 'multiply-accumulates' : 'parameters');
export const pruningOf = (state: UiState): PruningView | undefined => state.sources.pruning?.value;

/** The choice as it stands; undefined until the curve is planned. */
export function choiceOf(state: UiState): PruneChoice | undefined {
  const view = pruningOf(state);
  if (!view) return undefined;
  const { goal, curve, measured } = view;
  const by: Measure = state.choices['prune.by'] === 'parameters' || (state.choices['prune.by'] === undefined && goal && 'keepParameters' in goal) ? 'parameters' : 'macs';
  const start = goal && 'keepMacs' in goal ? goal.keepMacs : goal && 'keepParameters' in goal ? goal.keepParameters : 0.5;
  const wish = state.choices['prune.keep'];
  const keep = nearest(typeof wish === 'number' ? wish : start);
  const point = curve.budgets.find(budget => budget.keep === keep)?.[by];
  return { by, keep, point, measured: point ? measured.filter(({ macs, parameters }) => macs === point.macs && parameters === point.parameters) : [] };
}
/** The nearest budget of the curve: 5 % … 95 %. */
const nearest = (share: number): number => Math.max(5, Math.min(95, 5 * Math.round(share * 20))) / 100;

/** The budget moved by steps of 5 %. */
export function budgetMoved(state: UiState, by: number): UserAction | { readonly not: string } {
  const choice = choiceOf(state);
  return choice ? { type: 'choose', name: 'prune.keep', value: nearest(choice.keep + by * 0.05) } : { not: 'The curve is not planned yet.' };
}

const assignments = ({ by, keep }: PruneChoice): readonly string[] => {
  const [own, other] = by === 'macs' ? ['keepMacs', 'keepParameters'] : ['keepParameters', 'keepMacs'];
  return [`prune.${own}=${keep}`, `prune.${other}=`, 'prune.threshold='];
};
/** The step that a changed budget is judged by: the retrained network where the project retrains. */
const judged = (state: UiState): string => (state.sources.project?.value?.settings.retrain ? 'evaluate retrained' : 'evaluate pruned');

/** The commands that take the budget on and run it. */
export function commitCli(state: UiState): string {
  const choice = choiceOf(state);
  return choice ? `edgeforge set ${assignments(choice).join(' ')} && edgeforge run "${judged(state)}"` : 'edgeforge set prune.keepMacs=SHARE && edgeforge run';
}

/** Asks, then writes the budget into edgeforge.yaml and prunes, retrains where the project does, and evaluates. */
export function commit(state: UiState): UserAction | { readonly not: string } {
  const [view, choice] = [pruningOf(state), choiceOf(state)];
  if (!view || !choice) return { not: 'The curve is not planned yet.' };
  const { by, keep, point } = choice;
  if (!point) return { not: `Pruning cannot leave as little as ${percentOf(keep)} of the ${words(by)}: minFilters and granularity hold more.` };
  const { goal } = view;
  const before = goal ? Object.entries(goal).map(([name, value]) => `prune.${name}: ${value}`) : [];
  const step = judged(state);
  const same = before[0] === `prune.${settingOf(by)}: ${keep}`;
  return sure({
    title: `Prune to ${percentOf(keep)} of the ${words(by)}${step === 'evaluate retrained' ? ' and retrain' : ''}? edgeforge.yaml gets prune.${settingOf(by)}: ${keep}`,
    lost: same ? [] : before.map(setting => `the setting ${setting} (what was made with it stays in the store; set it again to have it back)`),
    cli: commitCli(state),
    yes: step === 'evaluate retrained' ? 'prune, retrain and evaluate' : 'prune and evaluate',
    does: { type: 'command', words: ['set', ...assignments(choice)], quiet: true, done: { type: 'run', wish: { steps: [step] }, cli: `edgeforge run "${step}"` } },
  });
}

export const percentOf = (share: number): string => `${Math.round(100 * share)} %`;
