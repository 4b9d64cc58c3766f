import type { DatasetView, SampleView } from '../../pipeline/views/dataset.ts';
import { remembered } from './fit.ts';
import { passesFilter } from './fuzzy.ts';
import { chosen, placeOf, type UiState } from './state.ts';

/** What of the Data screen's samples a filter is asked. */
const wordsOf = ({ id, part, className = '', objects }: SampleView): string => `${id} ${part} ${className} ${objects.map(({ label }) => label).join(' ')}`;
const listed = remembered((dataset: DatasetView | undefined, filter: string): readonly SampleView[] =>
  filter === '' ? (dataset?.samples ?? []) : (dataset?.samples ?? []).filter(sample => passesFilter(filter, wordsOf(sample))),
);

/** The samples that the Data screen lists: all, or those that pass its filter. */
export const samplesOf = (state: UiState): readonly SampleView[] => listed(state.sources.dataset?.value, placeOf(state, 'data').filter);
/** The sample under the Data screen's cursor. */
export const chosenSample = (state: UiState): SampleView | undefined => chosen(samplesOf(state), state, 0, 'data');

/** Cells for the picture of a sample on a screen of this size: beside the lists where they fit, else below them. */
export function pictureSpace({ columns, rows }: { readonly columns: number; readonly rows: number }): { readonly columns: number; readonly rows: number } {
  const list = listColumns(columns);
  return list === columns ? { columns, rows: Math.max(0, rows - 14) } : { columns: columns - list - 1, rows: rows - 6 };
}
/** Columns of the Data screen's lists: all of a narrow terminal. */
export const listColumns = (columns: number): number => (columns < 70 ? columns : Math.min(56, Math.max(34, Math.floor(columns * 0.4))));

/** What a sample's picture depends on: which one, and the space there is. */
export function pictureKey(state: UiState): string | undefined {
  const sample = chosenSample(state);
  const { columns, rows } = pictureSpace(state.terminal);
  return sample && columns > 4 && rows > 2 ? `${sample.file} ${columns}x${rows}` : undefined;
}
