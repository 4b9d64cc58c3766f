import type { Field, Type } from 'protobufjs';
import type { ErrorCode } from '../../core/errors.ts';
import { type FieldKind, isDropped, kindOf, occurrenceOf } from './_schema.ts';
import type { FieldNode, ScalarNode, ValueNode } from './_text-format.ts';
import { didYouMean } from './near-miss.ts';

/** A value of a spec: scalars, enums by name, int64 as numbers, repeated fields as arrays, maps and messages as plain objects with TLT's snake_case names. */
export type SpecValue = string | number | boolean | readonly SpecValue[] | SpecMessage;
export interface SpecMessage {
  readonly [field: string]: SpecValue;
}
export interface SpecProblem {
  readonly code: Extract<ErrorCode, 'spec-invalid' | 'spec-syntax'>;
  readonly message: string;
  readonly hint: string;
  readonly path: string;
  readonly line?: number;
}
/** Problems and notes kept per spec; the rest is only counted, so that a hostile file costs no more than reading it. */
const kept = 100;

export interface Bound {
  readonly message: SpecMessage;
  readonly notes: readonly string[];
  readonly problems: readonly SpecProblem[];
  /** How many problems there are, those beyond the kept ones included. */
  readonly refused: number;
  /** How many fields the schema knew, at every depth: the measure by which tasks are told apart. */
  readonly known: number;
  /** How many of them TAO has dropped. */
  readonly dropped: number;
  /** The line of each field that the text sets, by path (`model_config.num_layers`, `data_sources[1].tfrecords_path`, `target_class_mapping["car"]`). */
  readonly lines: ReadonlyMap<string, number>;
}

type Draft = Record<string, unknown>;
// A map key or field may be called __proto__: only defineProperty keeps it an ordinary member.
const put = (target: Draft, key: string, value: unknown): void => {
  Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
};
const get = (target: Draft, key: string): unknown => (Object.hasOwn(target, key) ? target[key] : undefined);
export const join = (path: string, name: string): string => (path === '' ? name : `${path}.${name}`);
export const keyed = (path: string, key: string): string => `${path}[${JSON.stringify(key)}]`;

const trueWords = new Set(['true', 'True', 't', '1']);
const falseWords = new Set(['false', 'False', 'f', '0']);
const infinite = /^-?(?:inf|infinity)f?$/i;

interface Wrong {
  readonly wrong: string;
  readonly hint: string;
}
const wrong = (text: string, hint: string): Wrong => ({ wrong: text, hint });
const isWrong = (value: unknown): value is Wrong => typeof value === 'object' && value !== null && 'wrong' in value;

function integer(text: string, unsigned: boolean): number | Wrong {
  const digits = text.startsWith('-') ? text.slice(1) : text;
  const octal = /^0[0-7]+$/.test(digits);
  if (!/^(?:0[xX][0-9a-fA-F]+|[0-9]+)$/.test(digits)) {
    const rounded = Math.round(Number(text.replace(/f$/i, '')));
    return wrong('a whole number', Number.isFinite(rounded) ? `Write ${Math.max(unsigned ? 0 : rounded, rounded)}, without a fraction.` : 'Write a whole number.');
  }
  const size = octal ? Number.parseInt(digits, 8) : Number(digits);
  const value = text.startsWith('-') ? -size : size;
  const [low, high] = unsigned ? [0, 0xffffffff] : [-0x80000000, 0x7fffffff];
  if (value < low || value > high) return wrong(`a whole number from ${low} to ${high}`, 'Write a number in that range.');
  return value === 0 ? 0 : value;
}

function float(node: ScalarNode): number | Wrong {
  if (node.kind === 'word' && infinite.test(node.text)) return node.text.startsWith('-') ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  if (node.kind === 'word' && /^-?nan$/i.test(node.text)) return Number.NaN;
  if (node.kind !== 'number')
    return wrong(
      'a number',
      node.kind === 'string' && node.text.trim() !== '' && Number.isFinite(Number(node.text)) ? `Write ${Number(node.text)} without quotes.` : 'Write a number.',
    );
  const hexadecimal = /^-?0[xX]/.test(node.text);
  const digits = hexadecimal ? node.text.replace('-', '') : node.text.replace(/f$/i, '');
  const value = Number(digits);
  return hexadecimal && node.text.startsWith('-') ? -value : value;
}

/** The typed value of one scalar, or what was expected instead. */
function scalarValue(kind: Exclude<FieldKind, { kind: 'message' }>, node: ScalarNode): string | number | boolean | Wrong {
  if (kind.kind === 'enum') {
    const names = Object.keys(kind.values);
    if (node.kind === 'word' && Object.hasOwn(kind.values, node.text)) return node.text;
    const byNumber = node.kind === 'number' ? names.find(name => kind.values[name] === Number(node.text)) : undefined;
    if (byNumber !== undefined) return byNumber;
    const plain = node.kind === 'string' && Object.hasOwn(kind.values, node.text) ? `Write ${node.text} without quotes.` : didYouMean(node.text, names);
    return wrong(`one of ${names.join(', ')}`, plain || `Write ${names[0]}.`);
  }
  switch (kind.scalar) {
    case 'string':
      return node.kind === 'string' ? node.text : wrong('text in quotes', `Write "${node.text}".`);
    case 'bool':
      if (node.kind !== 'string' && trueWords.has(node.text)) return true;
      if (node.kind !== 'string' && falseWords.has(node.text)) return false;
      return wrong('true or false', /^-?(?:true|false)$/i.test(node.text) ? `Write ${node.text.toLowerCase().replace('-', '')}.` : 'Write true or false.');
    case 'float':
      return float(node);
    case 'int':
    case 'uint':
      return node.kind === 'number' ? integer(node.text, kind.scalar === 'uint') : wrong('a whole number', 'Write a whole number, without quotes.');
  }
}

class Binder {
  private readonly hints: boolean;
  readonly notes: string[] = [];
  unheard = 0;
  refused = 0;
  readonly problems: SpecProblem[] = [];
  readonly lines = new Map<string, number>();
  known = 0;
  dropped = 0;

  constructor(hints: boolean) {
    this.hints = hints;
  }

  /** Keeps a problem; its value is the absent value of what could not be read. */
  private report(path: string, line: number, message: string, hint: string): undefined {
    this.refused += 1;
    if (this.problems.length < kept) this.problems.push({ code: 'spec-invalid', message, hint, path, line });
    return undefined;
  }

  private note(text: string): void {
    if (this.notes.length < kept) this.notes.push(text);
    else this.unheard += 1;
  }

  fill(target: Draft, type: Type, nodes: readonly FieldNode[], path: string): void {
    for (const node of nodes) {
      const at = join(path, node.name);
      const field = Object.hasOwn(type.fields, node.name) ? type.fields[node.name] : undefined;
      if (!field) {
        const names = Object.keys(type.fields);
        const near = this.hints && this.problems.length < kept ? didYouMean(node.name, names) : '';
        this.report(at, node.line, `Unknown field ${node.name.slice(0, 80)}${path === '' ? '' : ` in ${path}`}.`, near || `Known here: ${names.slice(0, 40).join(', ')}.`);
        continue;
      }
      this.known += 1;
      if (isDropped(field)) {
        this.dropped += 1;
        this.note(`line ${node.line}: ${at}: ${field.comment ?? 'not in TAO'}`);
      }
      this.assign(target, field, node, at);
    }
  }

  private assign(target: Draft, field: Field, node: FieldNode, at: string): void {
    const occurrence = occurrenceOf(field);
    if (node.list && occurrence === 'singular') {
      this.report(at, node.line, `${at} takes one value, not a list.`, 'Write the value without brackets.');
      return;
    }
    if (occurrence === 'map') {
      this.assignEntries(target, field, node, at);
      return;
    }
    if (occurrence === 'repeated') {
      const list = (get(target, field.name) as unknown[] | undefined) ?? [];
      put(target, field.name, list);
      if (!this.lines.has(at)) this.lines.set(at, node.line);
      for (const value of node.values) {
        const item = `${at}[${list.length}]`;
        this.lines.set(item, value.line);
        const bound = this.value(field, value, item, undefined);
        if (bound !== undefined) list.push(bound);
      }
      return;
    }
    this.choose(target, field, node, at);
    const value = node.values[0]!;
    const kind = kindOf(field);
    const before = get(target, field.name);
    if (before !== undefined && kind.kind !== 'message') this.note(`line ${node.line}: ${at} is set again (first on line ${this.lines.get(at)}): the last value counts, as in TLT`);
    if (before !== undefined && kind.kind === 'message')
      this.note(`line ${node.line}: ${at} is opened again (first on line ${this.lines.get(at)}): both parts are merged, as in TLT`);
    if (before === undefined || kind.kind !== 'message') this.lines.set(at, node.line);
    const bound = this.value(field, value, at, kind.kind === 'message' ? (before as Draft | undefined) : undefined);
    if (bound !== undefined) put(target, field.name, bound);
  }

  /** Of a oneof only the last alternative counts. */
  private choose(target: Draft, field: Field, node: FieldNode, at: string): void {
    for (const other of field.partOf?.fieldsArray ?? []) {
      if (other.name === field.name || get(target, other.name) === undefined) continue;
      this.note(`line ${node.line}: ${at} replaces ${other.name}: only one of them can be set, and the last counts, as in TLT`);
      delete target[other.name];
    }
  }

  private value(field: Field, node: ValueNode, at: string, into: Draft | undefined): unknown {
    const kind = kindOf(field);
    if (kind.kind === 'message') {
      if (node.kind !== 'message') return this.report(at, node.line, `${at} is a message, not ${JSON.stringify(node.text.slice(0, 60))}.`, `Write ${field.name} { … }.`);
      const message = into ?? {};
      this.fill(message, kind.type, node.fields, at);
      return message;
    }
    const expected = (hint: string, what: string) =>
      void this.report(at, node.line, `${at} must be ${what}, not ${node.kind === 'message' ? '{ … }' : JSON.stringify(node.text.slice(0, 60))}.`, hint);
    if (node.kind === 'message') return expected('Write the value after a colon.', 'a plain value');
    const bound = scalarValue(kind, node);
    return isWrong(bound) ? expected(bound.hint, bound.wrong) : bound;
  }

  private assignEntries(target: Draft, field: Field, node: FieldNode, at: string): void {
    const entries = (get(target, field.name) as Draft | undefined) ?? {};
    put(target, field.name, entries);
    if (!this.lines.has(at)) this.lines.set(at, node.line);
    for (const entry of node.values) {
      if (entry.kind !== 'message') {
        this.report(at, entry.line, `${at} is a map: each entry has a key and a value.`, `Write ${field.name} { key: "…" value: … }.`);
        continue;
      }
      let key = '';
      let value: ValueNode | undefined;
      for (const part of entry.fields) {
        const first = part.values[0];
        if (part.name === 'key' && first?.kind === 'string') key = first.text;
        else if (part.name === 'value' && first && part.values.length === 1) value = first;
        else this.report(at, part.line, `${part.name.slice(0, 60)} is not a part of an entry of ${at}.`, 'An entry has key: "…" (in quotes) and value.');
      }
      const item = keyed(at, key);
      if (get(entries, key) !== undefined) this.note(`line ${entry.line}: ${item} is set again (first on line ${this.lines.get(item)}): the last entry counts`);
      this.lines.set(item, entry.line);
      // An entry without a value holds the value type's zero, as in protobuf.
      const bound = this.value(field, value ?? emptyOf(field, entry.line), item, undefined);
      if (bound !== undefined) put(entries, key, bound);
    }
  }
}

function emptyOf(field: Field, line: number): ValueNode {
  const kind = kindOf(field);
  if (kind.kind === 'message') return { kind: 'message', fields: [], line };
  if (kind.kind === 'scalar' && kind.scalar === 'string') return { kind: 'string', text: '', line };
  return kind.kind === 'scalar' && kind.scalar === 'bool' ? { kind: 'word', text: 'false', line } : { kind: 'number', text: '0', line };
}

/** Types a tree by a message type; never throws: what does not fit is a problem with line, path and mend; without `hints` near misses are not searched, which is for comparing tasks. */
export function bind(type: Type, nodes: readonly FieldNode[], hints = true): Bound {
  const binder = new Binder(hints);
  const message: Draft = {};
  binder.fill(message, type, nodes, '');
  const notes = binder.unheard === 0 ? binder.notes : [...binder.notes, `${binder.unheard} more notes of these kinds`];
  return {
    message: message as unknown as SpecMessage,
    notes,
    problems: binder.problems,
    refused: binder.refused,
    known: binder.known,
    dropped: binder.dropped,
    lines: binder.lines,
  };
}
