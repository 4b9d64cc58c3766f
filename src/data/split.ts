import { EdgeError } from '../core/errors.ts';
import { randomAt, shuffled } from './random.ts';
import type { Manifest, Sample } from './sample.ts';

/** How a dataset is divided. `tlt-random`: the first int(percent/100·N) names validate. `sequence`: whole sequences dealt to partitions. `stratified`: ours, seeded. */
export type SplitRule =
  | { readonly kind: 'tlt-random'; readonly valSplitPercent: number }
  | { readonly kind: 'sequence'; readonly sequences: Readonly<Record<string, readonly string[]>>; readonly partitions: number; readonly validationFold: number }
  | { readonly kind: 'stratified'; readonly fraction: number; readonly seed: number };
export interface Split {
  readonly train: Manifest;
  readonly validation: Manifest;
}

/** Ids (any order) as TLT's `random` mode divides them: fold 0 (validation) is the first int(valSplit/100·N) sorted names, fold 1 the rest. Both sorted. */
export function tltRandomFolds(ids: readonly string[], valSplitPercent: number): readonly [readonly string[], readonly string[]] {
  if (!(valSplitPercent >= 0 && valSplitPercent <= 100))
    throw new EdgeError('spec-invalid', `val_split is ${valSplitPercent}; it is a percentage from 0 to 100.`, {
      hint: 'Write val_split: 20 for a fifth.',
      where: { path: 'kitti_config.val_split' },
    });
  const sorted = [...ids].sort();
  const count = Math.trunc((valSplitPercent / 100) * sorted.length);
  return [sorted.slice(0, count), sorted.slice(count)];
}

/** Ids as TLT's `sequence` mode divides them: sequences by falling length, then name, dealt round-robin, and the list of partitions reversed (fold 0 is the last bucket). */
export function tltSequenceFolds(sequences: Readonly<Record<string, readonly string[]>>, partitions: number): readonly (readonly string[])[] {
  const entries = Object.entries(sequences).sort(([nameA, a], [nameB, b]) => b.length - a.length || (nameA < nameB ? -1 : 1));
  if (!Number.isInteger(partitions) || partitions < 1 || partitions > entries.length)
    throw new EdgeError('spec-invalid', `num_partitions is ${partitions}, but there are ${entries.length} sequences.`, {
      hint: 'Use between 1 and the number of sequences in kitti_sequence_to_frames_file.',
      where: { path: 'kitti_config.num_partitions' },
    });
  const folds: string[][] = Array.from({ length: partitions }, () => []);
  entries.forEach(([, frames], index) => {
    folds[index % partitions]!.push(...frames);
  });
  return folds.reverse();
}

/** What a sample is counted under when a split is to keep proportions: its class, or its rarest class over the whole dataset. */
function stratumOf(sample: Sample, counts: ReadonlyMap<string, number>): string {
  if (sample.className !== undefined) return sample.className;
  const names = new Set((sample.objects ?? []).map(object => object.className));
  return [...names].sort((a, b) => counts.get(a)! - counts.get(b)! || (a < b ? -1 : 1))[0] ?? '';
}

/** Ids chosen so that each stratum gives its share (largest remainders), the same for equal seeds. */
export function stratifiedPick(samples: readonly Sample[], fraction: number, seed: number): ReadonlySet<string> {
  const counts = new Map<string, number>();
  for (const sample of samples) for (const object of sample.objects ?? []) counts.set(object.className, (counts.get(object.className) ?? 0) + 1);
  const strata = new Map<string, string[]>();
  for (const sample of [...samples].sort((a, b) => (a.id < b.id ? -1 : 1))) {
    const key = stratumOf(sample, counts);
    strata.set(key, [...(strata.get(key) ?? []), sample.id]);
  }
  const names = [...strata.keys()].sort();
  const shares = names.map(name => fraction * strata.get(name)!.length);
  const takes = shares.map(Math.floor);
  const total = Math.round(fraction * samples.length);
  const byRemainder = names.map((_, index) => index).sort((a, b) => shares[b]! - takes[b]! - (shares[a]! - takes[a]!) || a - b);
  let missing = total - takes.reduce((a, b) => a + b, 0);
  for (const index of byRemainder) if (missing-- > 0) takes[index]!++;
  const chosen = new Set<string>();
  names.forEach((name, stratum) => {
    const ids = strata.get(name)!;
    const order = shuffled(ids.length, randomAt(seed, 0x5911, stratum));
    for (const position of order.slice(0, takes[stratum])) chosen.add(ids[position]!);
  });
  return chosen;
}

/** Divides a dataset in two by rule. Both parts keep the whole dataset's class list. Refuses a part without images. */
export function splitManifest(manifest: Manifest, rule: SplitRule): Split {
  const validation = validationIds(manifest, rule);
  const part = (inside: boolean): Manifest => ({ ...manifest, samples: manifest.samples.filter(sample => validation.has(sample.id) === inside) });
  const split = { train: part(false), validation: part(true) };
  for (const [name, { samples }] of Object.entries(split))
    if (samples.length === 0)
      throw new EdgeError('dataset-invalid', `The split leaves no image for ${name} (of ${manifest.samples.length}).`, {
        hint: 'Choose another share, e.g. validation: 0.2, or give a validation folder.',
      });
  return split;
}

function validationIds(manifest: Manifest, rule: SplitRule): ReadonlySet<string> {
  const ids = manifest.samples.map(sample => sample.id);
  if (rule.kind === 'tlt-random') return new Set(tltRandomFolds(ids, rule.valSplitPercent)[0]);
  if (rule.kind === 'stratified') return stratifiedPick(manifest.samples, rule.fraction, rule.seed);
  const fold = tltSequenceFolds(rule.sequences, rule.partitions)[rule.validationFold];
  if (!fold)
    throw new EdgeError('spec-invalid', `validation_fold is ${rule.validationFold}, but there are ${rule.partitions} partitions.`, {
      hint: 'Folds count from 0.',
      where: { path: 'validation_fold' },
    });
  const known = new Set(ids);
  const strange = fold.find(id => !known.has(id));
  if (strange !== undefined)
    throw new EdgeError('dataset-invalid', `The sequence file names the frame "${strange}", which the dataset does not have.`, {
      hint: 'Frames are file names without extension.',
    });
  return new Set(fold);
}
