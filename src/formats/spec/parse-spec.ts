import type { Field, Type } from 'protobufjs';
import { LineCounter, parseDocument } from 'yaml';
import { EdgeError, type Where } from '../../core/errors.ts';
import { type Bound, bind, type SpecMessage, type SpecProblem, type SpecValue } from './_bind.ts';
import { fallbackOf, kindOf, messageType, occurrenceOf, unsetValue } from './_schema.ts';
import { type FieldNode, parseTextFormat, textLimits } from './_text-format.ts';
import { nearMiss } from './near-miss.ts';
import { rootOf, type SpecRoot, type SpecTask, specRoots, yamlTasks } from './tasks.ts';

export type { SpecMessage, SpecProblem, SpecValue } from './_bind.ts';
export type { SpecTask } from './tasks.ts';

/** A spec file as a value: unset fields are absent, names are TLT's, enums are names. `notes` are accepted deviations, in words, each with its line. */
export interface ParsedSpec {
  readonly task: SpecTask;
  readonly message: SpecMessage;
  readonly notes: readonly string[];
  /** Line of each field that the file sets, by path. */
  readonly lines: ReadonlyMap<string, number>;
  readonly file?: string;
}
export interface ParseOptions {
  /** Named in errors. */
  readonly file?: string;
  /** Read as this task instead of finding it. */
  readonly task?: SpecTask;
}

const at = (file: string | undefined, more: Where = {}): Where => ({ ...(file === undefined ? {} : { file }), ...more });

/** One EdgeError for what is wrong with a spec: the first in full with its place and mend, the others by line. */
export function specError(problems: readonly SpecProblem[], file?: string): EdgeError {
  const [first, ...others] = problems;
  if (!first) return new EdgeError('internal', 'specError needs a problem.', { hint: 'This is a bug in edgeforge.' });
  const more = others.slice(0, 5).map(({ line, path, message }) => `${line === undefined ? path : `line ${line}`}: ${message}`);
  const tail = others.length === 0 ? '' : ` ${others.length} more: ${more.join(' ')}${others.length > more.length ? ' …' : ''}`;
  return new EdgeError(first.code, `${first.message}${tail}`, {
    hint: first.hint,
    where: at(file, { ...(first.line === undefined ? {} : { line: first.line }), path: first.path }),
  });
}

const looksLikeYaml = (text: string): boolean =>
  /^[A-Za-z_]\w*:[ \t]*$/m.test(text) ? !/[{<]/.test(text.replace(/#.*$/gm, '').replace(/\{\s*\}|<<:/g, '')) || /^__class_name__:/m.test(text) : /^__class_name__:/m.test(text);

/** The largest real one has 22 thousand; the YAML reader needs seconds per megabyte. */
const maxYamlCharacters = 256 << 10;

function parseYamlSpec(text: string, { file, task }: ParseOptions): ParsedSpec {
  if (text.length > maxYamlCharacters) {
    throw new EdgeError('limit-exceeded', `The YAML spec has ${text.length} characters; at most ${maxYamlCharacters} are read.`, {
      hint: 'Check that this is a spec file and not data.',
      where: at(file),
    });
  }
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter, logLevel: 'silent', uniqueKeys: false });
  const error = document.errors[0];
  if (error) {
    throw new EdgeError('spec-syntax', `Not YAML: ${error.message.split('\n')[0]}`, {
      hint: 'Correct the line: bpnet and fpenet specs are YAML.',
      where: at(file, { line: lineCounter.linePos(error.pos[0]).line }),
    });
  }
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 100 });
  } catch (cause) {
    throw new EdgeError('limit-exceeded', `The YAML cannot be expanded: ${cause instanceof Error ? cause.message : String(cause)}`, {
      hint: 'Write the values out instead of using anchors.',
      where: at(file),
      cause,
    });
  }
  const name = typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as { __class_name__?: unknown }).__class_name__ : undefined;
  const found = task ?? (typeof name === 'string' && Object.hasOwn(yamlTasks, name) ? yamlTasks[name] : undefined);
  if (found === undefined || typeof value !== 'object' || value === null) {
    throw new EdgeError(
      'spec-invalid',
      `A YAML spec names its class at the top; ${typeof name === 'string' ? `"${name.slice(0, 80)}" is not one we know` : 'this one has no __class_name__'}.`,
      {
        hint: `Known: ${Object.keys(yamlTasks).join(', ')}.`,
        where: at(file, { path: '__class_name__' }),
      },
    );
  }
  const notes = [`${found} has no published schema: its YAML is read as it stands and its fields are not checked`];
  return { task: found, message: value as SpecMessage, notes, lines: new Map(), ...(file === undefined ? {} : { file }) };
}

interface Candidate {
  readonly root: SpecRoot;
  readonly bound: Bound;
  readonly score: number;
}

const marks = (root: SpecRoot, names: ReadonlySet<string>): number => root.markers.filter(marker => names.has(marker)).length;

/** Every root message of which the text uses a top-level field, or misspells a marker, best fit first: known fields, less problems and dropped fields, plus fields that only this task has. */
function candidates(nodes: readonly FieldNode[]): readonly Candidate[] {
  const names = new Set(nodes.map(({ name }) => name));
  const found: Candidate[] = [];
  for (const root of specRoots) {
    const type = messageType(root.type);
    const meant = [...names].some(name => Object.hasOwn(type.fields, name) || (names.size <= 200 && nearMiss(name, root.markers) !== undefined));
    if (!meant) continue;
    const bound = bind(type, nodes, false);
    found.push({ root, bound, score: bound.known - 3 * bound.refused - bound.dropped + 5 * marks(root, names) + (root.tips?.some(tip => names.has(tip)) ? 0.5 : 0) });
  }
  return found.sort((a, b) => b.score - a.score);
}

/** The task named in a file's name, the longest where one name holds another (dssd, ssd). */
function namedTask(file: string | undefined): SpecTask | undefined {
  const name = file?.split(/[\\/]/).at(-1)?.toLowerCase() ?? '';
  return specRoots
    .flatMap(({ tasks }) => tasks)
    .filter(task => name.includes(task))
    .sort((a, b) => b.length - a.length)[0];
}

/** The best fit; among tasks that all fit without a problem the file's name may decide, and where the fit is open a note says so. */
function chooseRoot(nodes: readonly FieldNode[], file: string | undefined): { root: SpecRoot; bound: Bound; notes: readonly string[] } | undefined {
  const [best, ...others] = candidates(nodes);
  if (!best) return undefined;
  const rivals = best.bound.problems.length === 0 ? others.filter(({ bound }) => bound.problems.length === 0) : [];
  if (best.bound.refused > 0) return { root: best.root, bound: bind(messageType(best.root.type), nodes), notes: [] };
  if (rivals.length === 0) return { ...best, notes: [] };
  const named = namedTask(file);
  const chosen = [best, ...rivals].find(({ root }) => named !== undefined && root.tasks.includes(named)) ?? best;
  const also = [best, ...rivals].filter(candidate => candidate !== chosen && candidate.score >= chosen.score - 0.5).map(({ root }) => root.tasks.join(' or '));
  const open = also.length > 0;
  return {
    ...chosen,
    notes: !open ? [] : [`the fields fit ${also.join(', ')} as well: read as ${chosen.root.task(chosen.bound.message)}${chosen === best ? '' : ', which the file’s name says'}`],
  };
}

/**
 * Reads any TLT or TAO spec: finds the task by its fields, types every field by the task's schema and keeps presence.
 * Throws EdgeError spec-syntax, spec-invalid or limit-exceeded with file, line, field path and a near-miss hint; nothing else.
 */
export function parseSpec(text: string, options: ParseOptions = {}): ParsedSpec {
  const { file, task } = options;
  const wantsYaml = task === undefined ? text.length <= textLimits.characters && looksLikeYaml(text) : rootOf(task) === undefined;
  if (wantsYaml) return parseYamlSpec(text, options);
  const nodes = parseTextFormat(text, file);
  if (nodes.length === 0) throw new EdgeError('spec-invalid', 'The spec is empty.', { hint: 'Start from an example: edgeforge init writes one.', where: at(file) });
  const root = task === undefined ? undefined : rootOf(task);
  const found = root ? { root, bound: bind(messageType(root.type), nodes), notes: [] } : chooseRoot(nodes, file);
  if (!found) {
    const first = nodes[0]!;
    throw new EdgeError('spec-invalid', `No task has a spec with the field ${first.name.slice(0, 80)} at its top.`, {
      hint: `A spec starts with fields such as ${specRoots.flatMap(({ markers }) => markers.slice(0, 1)).join(', ')}.`,
      where: at(file, { line: first.line, path: first.name }),
    });
  }
  const { bound } = found;
  if (bound.problems.length > 0) throw specError(bound.problems, file);
  return { task: found.root.task(bound.message), message: bound.message, notes: [...found.notes, ...bound.notes], lines: bound.lines, ...(file === undefined ? {} : { file }) };
}

const isMessage = (value: SpecValue | undefined): value is SpecMessage => typeof value === 'object' && !Array.isArray(value);

function fillDefaults(type: Type, message: SpecMessage): SpecMessage {
  const filled: Record<string, SpecValue> = {};
  const put = (name: string, value: SpecValue) => Object.defineProperty(filled, name, { value, enumerable: true, configurable: true, writable: true });
  for (const field of type.fieldsArray) {
    const value = Object.hasOwn(message, field.name) ? message[field.name] : undefined;
    const whole = fillField(field, value);
    if (whole !== undefined) put(field.name, whole);
  }
  return filled;
}

function fillField(field: Field, value: SpecValue | undefined): SpecValue | undefined {
  const kind = kindOf(field);
  const occurrence = occurrenceOf(field);
  const inner = (item: SpecValue): SpecValue => (kind.kind === 'message' && isMessage(item) ? fillDefaults(kind.type, item) : item);
  if (occurrence === 'repeated') return ((value as readonly SpecValue[] | undefined) ?? []).map(inner);
  if (occurrence === 'map') {
    return Object.fromEntries(Object.entries((value as SpecMessage | undefined) ?? {}).map(([key, item]) => [key, inner(item)]));
  }
  if (kind.kind === 'message') return value === undefined ? undefined : inner(value);
  if (value === undefined) return field.partOf ? undefined : unsetValue(field);
  // proto3 cannot tell 0 from unset, and TLT's `x if x else default` does not try.
  const empty = value === 0 || value === '' || value === false;
  return empty ? (fallbackOf(field) ?? value) : value;
}

/** The message with every unset scalar, list and map of its present messages filled by TLT's defaults (proto3's zero where TLT has none); absent messages and oneof members stay absent. */
export function withDefaults(task: SpecTask, message: SpecMessage): SpecMessage {
  const root = rootOf(task);
  return root ? fillDefaults(messageType(root.type), message) : message;
}
