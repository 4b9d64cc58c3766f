import type { Field, Type } from 'protobufjs';
import { stringify } from 'yaml';
import type { SpecMessage, SpecValue } from './_bind.ts';
import { kindOf, messageType, occurrenceOf } from './_schema.ts';
import { rootOf, type SpecTask } from './tasks.ts';

const escapes: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t', '"': '\\"', '\\': '\\\\' };
const octal = (character: string): string => [...Buffer.from(character)].map(byte => `\\${byte.toString(8).padStart(3, '0')}`).join('');
const quoted = (text: string): string => `"${text.replace(/[\n\r\t"\\]/g, character => escapes[character]!).replace(/\p{Cc}/gu, octal)}"`;

function scalarText(field: Field, value: SpecValue): string {
  if (typeof value === 'string') return kindOf(field).kind === 'enum' ? value : quoted(value);
  if (typeof value === 'number' && !Number.isFinite(value)) return Number.isNaN(value) ? 'nan' : value > 0 ? 'inf' : '-inf';
  return Object.is(value, -0) ? '-0' : String(value);
}

function fieldLines(field: Field, value: SpecValue, indent: string): string[] {
  const kind = kindOf(field);
  const one = (name: string, item: SpecValue, at: string): string[] =>
    kind.kind === 'message' ? [`${at}${name} {`, ...messageLines(kind.type, item as SpecMessage, `${at}  `), `${at}}`] : [`${at}${name}: ${scalarText(field, item)}`];
  switch (occurrenceOf(field)) {
    case 'repeated':
      return (value as readonly SpecValue[]).flatMap(item => one(field.name, item, indent));
    case 'map':
      return Object.entries(value as SpecMessage).flatMap(([key, item]) => [
        `${indent}${field.name} {`,
        `${indent}  key: ${quoted(key)}`,
        ...one('value', item, `${indent}  `),
        `${indent}}`,
      ]);
    case 'singular':
      return one(field.name, value, indent);
  }
}

function messageLines(type: Type, message: SpecMessage, indent: string): string[] {
  return Object.entries(message).flatMap(([name, value]) => {
    const field = Object.hasOwn(type.fields, name) ? type.fields[name] : undefined;
    return field ? fieldLines(field, value, indent) : [];
  });
}

/** A message as spec text (protobuf text, YAML for bpnet and fpenet) that parses back to the same message; empty lists and maps cannot be written and are left out. */
export function toText(task: SpecTask, message: SpecMessage): string {
  const root = rootOf(task);
  if (!root) return stringify(message);
  return messageLines(messageType(root.type), message, '')
    .map(line => `${line}\n`)
    .join('');
}
