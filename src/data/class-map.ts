import { EdgeError } from '../core/errors.ts';
import { isIgnoredClass, type Manifest, type Sample } from './sample.ts';

/** Which label each class of a dataset means. Plain data: it crosses to worker threads. */
export interface ClassMap {
  readonly labels: readonly string[];
  /** Lower-case source class → index into labels; −1 is an ignored region. A class that is absent here is dropped. */
  readonly indexOf: Readonly<Record<string, number>>;
  /** Per label: how many boxes (or images) of the manifest it holds. */
  readonly counts: readonly number[];
  /** What was left out and what matched nothing: accepted deviations to show. */
  readonly notes: readonly string[];
}
export interface ClassMapOptions {
  /** TLT's target_class_mapping: source class (compared in lower case) → target. Absent: every class means itself. */
  readonly mapping?: Readonly<Record<string, string>>;
  /** The network's labels in their order (cost_function_config.target_classes). Absent: the mapping's targets in order of appearance. */
  readonly targets?: readonly string[];
  /** A validation set may lack a class that training has: then nothing is refused for having no objects. */
  readonly mayLack?: boolean;
}

/** How often each class occurs: boxes for detection, images for classification. Names in lower case. */
export function classCounts(samples: readonly Sample[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  const add = (name: string) => counts.set(name.toLowerCase(), (counts.get(name.toLowerCase()) ?? 0) + 1);
  for (const sample of samples) {
    if (sample.className !== undefined) add(sample.className);
    for (const object of sample.objects ?? []) add(object.className);
  }
  return counts;
}

const list = (names: readonly string[]): string => names.map(name => `"${name}"`).join(', ');

/** Resolves class names to labels as TLT does (unmapped classes are dropped, with a note); refuses with `class-unmapped` a label without a single object and a mapping to no label. */
export function mapClasses(manifest: Manifest, { mapping, targets, mayLack = false }: ClassMapOptions = {}): ClassMap {
  const present = classCounts(manifest.samples);
  const pairs = mapping ? Object.entries(mapping).map(([source, target]) => [source.toLowerCase(), target] as const) : identityOf(manifest, targets);
  const labels = targets ?? [...new Set(pairs.map(([, target]) => target).filter(target => !isIgnoredClass(target)))];
  const indexOf: Record<string, number> = Object.create(null);
  for (const name of present.keys()) if (isIgnoredClass(name)) indexOf[name] = -1;
  for (const [source, target] of pairs) {
    const index = isIgnoredClass(target) ? -1 : labels.indexOf(target);
    if (index < 0 && !isIgnoredClass(target))
      throw new EdgeError('class-unmapped', `target_class_mapping sends "${source}" to "${target}", which is none of the network’s classes: ${list(labels)}.`, {
        hint: `Write the class exactly as in cost_function_config.target_classes, or add "${target}" there.`,
        where: { path: 'dataset_config.target_class_mapping' },
      });
    indexOf[source] = index;
  }
  const counts = labels.map((_, index) => [...present].reduce((sum, [name, count]) => (indexOf[name] === index ? sum + count : sum), 0));
  if (!mayLack) refuseEmpty(labels, counts, present);
  const unmapped = [...present].filter(([name]) => indexOf[name] === undefined).map(([name, count]) => `Class "${name}" (${count}) maps to nothing and is left out.`);
  const idle = mapping ? pairs.filter(([source]) => !present.has(source)).map(([source]) => `The mapping’s class "${source}" occurs nowhere in the dataset.`) : [];
  return { labels, indexOf: { ...indexOf }, counts, notes: [...unmapped, ...idle] };
}

function identityOf(manifest: Manifest, targets: readonly string[] | undefined): (readonly [string, string])[] {
  if (targets) return targets.map(target => [target.toLowerCase(), target] as const);
  return manifest.classes.map(name => [name.toLowerCase(), name] as const);
}

function refuseEmpty(labels: readonly string[], counts: readonly number[], present: ReadonlyMap<string, number>): void {
  const empty = labels.filter((_, index) => counts[index] === 0);
  if (labels.length > 0 && empty.length === 0) return;
  const has = [...present].map(([name, count]) => `${name} (${count})`).join(', ') || 'none';
  throw new EdgeError(
    'class-unmapped',
    labels.length === 0 ? `No class of the dataset maps to a label. The dataset has: ${has}.` : `No object of the dataset maps to ${list(empty)}. The dataset has: ${has}.`,
    {
      hint: 'Map a class of the dataset to it in target_class_mapping (keys in lower case), or take the class out of the spec.',
      where: { path: 'dataset_config.target_class_mapping' },
    },
  );
}
