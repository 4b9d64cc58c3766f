import { table } from '../../output.ts';

/** What a file turned out to be: for people as facts and tables, for machines as `data`. */
export interface Inspection {
  readonly kind: string;
  readonly facts: readonly (readonly [name: string, value: string])[];
  readonly tables: readonly { readonly title: string; readonly rows: readonly (readonly string[])[] }[];
  /** Text that stands for itself, before the notes. */
  readonly body?: string;
  readonly notes: readonly string[];
  /** What to do with it, where there is something to do. */
  readonly mend?: string;
  /** The same as JSON. */
  readonly data: Readonly<Record<string, unknown>>;
}

/** An inspection as text. The first row of a table is its head. */
export function inspectionText(file: string, { kind, facts, tables, body, notes, mend }: Inspection): string {
  const lines = [`${file}: ${kind}`];
  if (facts.length > 0) lines.push(table(facts, '  '));
  for (const { title, rows } of tables) if (rows.length > 1) lines.push('', title, table(rows, '  '));
  if (body !== undefined) lines.push('', body);
  if (notes.length > 0) lines.push('', ...notes.map(note => `note: ${note}`));
  if (mend !== undefined) lines.push(`mend: ${mend}`);
  return lines.join('\n');
}

/** The first rows of a long list, and how many were left out. */
export function shortened(rows: readonly (readonly string[])[], most: number): readonly (readonly string[])[] {
  const [head, ...body] = rows;
  if (!head || body.length <= most) return rows;
  return [head, ...body.slice(0, most), [`… and ${body.length - most} more`]];
}
