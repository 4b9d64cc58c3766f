import { readFileSync } from 'node:fs';
import protobuf from 'protobufjs';
import { inPackage } from '../../core/package-root.ts';

const files = [
  'common',
  'detectnet_v2',
  'classification',
  'efficientdet',
  'faster_rcnn',
  'lprnet',
  'mask_rcnn',
  'multitask_classification',
  'retinanet',
  'ssd',
  'unet',
  'yolo_v3',
  'yolo_v4',
  'augment',
  'label_map',
] as const;

let loaded: protobuf.Root | undefined;

/** Every message of our .proto files, resolved, read once from the package. */
export function schemas(): protobuf.Root {
  if (loaded) return loaded;
  const root = new protobuf.Root();
  for (const file of files) {
    const text = readFileSync(inPackage('src', 'formats', 'spec', `${file}.proto`), 'utf8');
    protobuf.parse(text, root, { keepCase: true, alternateCommentMode: true, preferTrailingComment: true });
  }
  root.resolveAll();
  loaded = root;
  return root;
}

/** The root message of a task's spec, by its name in our .proto files, for example `detectnet_v2.Experiment`. */
export const messageType = (name: string): protobuf.Type => schemas().lookupType(`tlt.${name}`);

export type FieldKind =
  | { readonly kind: 'message'; readonly type: protobuf.Type }
  | { readonly kind: 'enum'; readonly values: Readonly<Record<string, number>> }
  | { readonly kind: 'scalar'; readonly scalar: 'string' | 'bool' | 'float' | 'int' | 'uint' };

const scalarKinds: Readonly<Record<string, 'string' | 'bool' | 'float' | 'int' | 'uint'>> = {
  string: 'string',
  bool: 'bool',
  float: 'float',
  double: 'float',
  int32: 'int',
  int64: 'int',
  uint32: 'uint',
  uint64: 'uint',
};

/** What one value of a field (or of a map's entries) is. */
export function kindOf(field: protobuf.Field): FieldKind {
  if (field.resolvedType instanceof protobuf.Type) return { kind: 'message', type: field.resolvedType };
  if (field.resolvedType instanceof protobuf.Enum) return { kind: 'enum', values: field.resolvedType.values };
  const scalar = scalarKinds[field.type];
  if (!scalar) throw new Error(`${field.fullName}: our schema uses the type ${field.type}, which the reader does not know.`);
  return { kind: 'scalar', scalar };
}

export type Occurrence = 'singular' | 'repeated' | 'map';
export const occurrenceOf = (field: protobuf.Field): Occurrence => (field instanceof protobuf.MapField ? 'map' : field.repeated ? 'repeated' : 'singular');

/** Dropped by TAO, or with a number that is not public: our own number range says so. */
export const isDropped = (field: protobuf.Field): boolean => field.id >= 1000;

/** What TLT takes when the field is 0, empty or absent, where its Python code says something else than proto3. */
export function fallbackOf(field: protobuf.Field): string | number | boolean | undefined {
  const value: unknown = field.options?.['(when_unset)'];
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? value : undefined;
}

/** The value of an unset scalar or enum: TLT's, else proto3's zero (the name that stands for 0, for an enum). */
export function unsetValue(field: protobuf.Field): string | number | boolean {
  const fallback = fallbackOf(field);
  if (fallback !== undefined) return fallback;
  const kind = kindOf(field);
  if (kind.kind === 'enum') return Object.entries(kind.values).find(([, number]) => number === 0)?.[0] ?? '';
  if (kind.kind === 'message') throw new Error(`${field.fullName} is a message: it has no unset value.`);
  return kind.scalar === 'string' ? '' : kind.scalar === 'bool' ? false : 0;
}
