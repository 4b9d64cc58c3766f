import type { Look } from '../../look.ts';

const colours = { good: 'green', bad: 'red', busy: 'cyan', odd: 'yellow' } as const;
export type Tone = keyof typeof colours;

/** A tone as Ink's properties; nothing where the terminal shows no colours. It only repeats what a mark or a word says. */
export const paint = ({ colour }: Pick<Look, 'colour'>, tone: Tone | undefined): { readonly color?: string } => (colour !== 'none' && tone ? { color: colours[tone] } : {});

/** The tone of a step's or a run's state. */
export function toneOf(status: string): Tone | undefined {
  if (status === 'ran' || status === 'ok' || status === 'cached' || status === 'pass') return 'good';
  if (status === 'failed' || status === 'died' || status === 'fail') return 'bad';
  if (status === 'running' || status === 'run') return 'busy';
  return status === 'skipped' || status === 'cancelled' || status === 'unknown' ? 'odd' : undefined;
}
