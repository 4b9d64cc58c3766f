import type { Field, Type } from 'protobufjs';
import { join, keyed, type SpecMessage, type SpecValue } from './_bind.ts';
import { isDropped, kindOf, messageType, occurrenceOf, unsetValue } from './_schema.ts';
import { type ParseOptions, parseSpec } from './parse-spec.ts';
import { rootOf, type SpecTask } from './tasks.ts';

/** One field of a task's schema, as `spec explain` shows it. */
export interface ExplainRow {
  /** Full path; map keys and list positions as in the file, `*` where the file has no entry. */
  readonly path: string;
  readonly depth: number;
  /** For example `uint32`, `DBSCAN | NMS | HYBRID`, `string[]`, `string → float`, `message`. */
  readonly type: string;
  /** What counts: the file's value, else the default; undefined for messages and for what stays unset. */
  readonly value?: string | number | boolean;
  /** file: set on `line`; default: TLT's or protobuf's; unset: a message, oneof member, list or map that the file does not have. */
  readonly from: 'file' | 'default' | 'unset';
  readonly line?: number;
  readonly default?: string | number | boolean;
  readonly meaning?: string;
}
export interface Explanation {
  readonly task: SpecTask;
  readonly rows: readonly ExplainRow[];
  readonly notes: readonly string[];
}

function typeName(field: Field): string {
  const kind = kindOf(field);
  const one = kind.kind === 'message' ? 'message' : kind.kind === 'enum' ? Object.keys(kind.values).join(' | ') : field.type;
  const occurrence = occurrenceOf(field);
  return occurrence === 'map' ? `string → ${one}` : occurrence === 'repeated' ? `${one}[]` : one;
}

/** Rows of the fields of one message; `message` undefined where the file does not have it. */
function* explainMessage(type: Type, message: SpecMessage | undefined, path: string, depth: number, lines: ReadonlyMap<string, number>): Generator<ExplainRow> {
  for (const field of type.fieldsArray) {
    const value = message && Object.hasOwn(message, field.name) ? message[field.name] : undefined;
    // Names that TAO dropped are shown where the file uses them.
    if (value === undefined && isDropped(field)) continue;
    yield* explainField(field, value, join(path, field.name), depth, lines);
  }
}

function* explainField(field: Field, value: SpecValue | undefined, path: string, depth: number, lines: ReadonlyMap<string, number>): Generator<ExplainRow> {
  const kind = kindOf(field);
  const occurrence = occurrenceOf(field);
  const row = (at: string, level: number, item: SpecValue | undefined, type: string): ExplainRow => {
    const line = lines.get(at);
    const scalar = typeof item === 'object' ? undefined : item;
    const fallback = kind.kind === 'message' || occurrence !== 'singular' || field.partOf ? undefined : unsetValue(field);
    const counts = scalar ?? (item === undefined ? fallback : undefined);
    return {
      path: at,
      depth: level,
      type,
      from: item !== undefined ? 'file' : fallback === undefined ? 'unset' : 'default',
      ...(counts === undefined ? {} : { value: counts }),
      ...(item === undefined || line === undefined ? {} : { line }),
      ...(fallback === undefined ? {} : { default: fallback }),
      ...(field.comment ? { meaning: field.comment } : {}),
    };
  };
  yield row(path, depth, value, typeName(field));
  const one = kind.kind === 'message' ? 'message' : typeName(field).replace(/^string → |\[\]$/g, '');
  if (occurrence === 'singular') {
    if (kind.kind === 'message') yield* explainMessage(kind.type, value as SpecMessage | undefined, path, depth + 1, lines);
    return;
  }
  const items: (readonly [string, SpecValue])[] =
    occurrence === 'map'
      ? Object.entries((value as SpecMessage | undefined) ?? {}).map(([key, item]) => [keyed(path, key), item] as const)
      : ((value as readonly SpecValue[] | undefined) ?? []).map((item, index) => [`${path}[${index}]`, item] as const);
  for (const [at, item] of items) {
    const { meaning: _, ...bare } = row(at, depth + 1, item, one);
    yield bare;
    if (kind.kind === 'message') yield* explainMessage(kind.type, item as SpecMessage, at, depth + 2, lines);
  }
  if (items.length === 0 && kind.kind === 'message') yield* explainMessage(kind.type, undefined, `${path}[*]`, depth + 1, lines);
}

function* explainYaml(value: unknown, path: string, depth: number): Generator<ExplainRow> {
  if (typeof value !== 'object' || value === null) return;
  for (const [name, item] of Object.entries(value)) {
    const at = Array.isArray(value) ? `${path}[${name}]` : join(path, name);
    const scalar = typeof item === 'string' || typeof item === 'number' || typeof item === 'boolean';
    yield {
      path: at,
      depth,
      type: item === null ? 'null' : Array.isArray(item) ? 'list' : typeof item === 'object' ? 'message' : typeof item,
      from: 'file',
      ...(scalar ? { value: item } : {}),
    };
    yield* explainYaml(item, at, depth + 1);
  }
}

/** Every field of the schema of a spec's task with its value, its default or the line it comes from, and its meaning where known; throws as parseSpec does. */
export function explainSpec(text: string, options: ParseOptions = {}): Explanation {
  const { task, message, lines, notes } = parseSpec(text, options);
  const root = rootOf(task);
  const rows = root ? [...explainMessage(messageType(root.type), message, '', 0, lines)] : [...explainYaml(message, '', 0)];
  return { task, rows, notes };
}
