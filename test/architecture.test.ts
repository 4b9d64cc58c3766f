import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseSync } from 'oxc-parser';
import { expect, test } from 'vitest';

// What DESIGN promises of src/, held by reading the imports and the syntax trees.

const src = fileURLToPath(new URL('../src', import.meta.url));
const rank: Readonly<Record<string, number>> = { core: 0, graph: 1, formats: 2, compute: 2, tasks: 3, zoo: 4, data: 4, train: 5, compress: 5, deploy: 5, pipeline: 6, ui: 7 };
const budget = { file: 300, function: 60, component: 120 };
/** Files that may be longer, because they are tables: read row by row, never as a whole. */
const longFiles: readonly { readonly files: RegExp; readonly lines: number; readonly because: string }[] = [
  { files: /^graph\/ops\//, lines: 600, because: 'the operator table: one row per operator' },
  { files: /^formats\/spec\//, lines: 600, because: 'the specs’ tables: one row per field' },
];
/** Packages with one door. */
const doors: Readonly<Record<string, RegExp>> = {
  ssh2: /^deploy\/(transports\/(ssh|_[\w-]+)|_?serve[\w-]*)\.ts$/,
  'onnxruntime-node': /^compute\//,
  sharp: /^(data|pipeline)\//,
  ink: /^ui\//,
  react: /^ui\//,
};
/** Rooms that are functions of their arguments: no processes, no network. */
const pure = ['graph', 'formats', 'tasks'];
const effects = ['node:child_process', 'node:net', 'node:http', 'node:https', 'node:tls', 'node:dgram', 'node:worker_threads'];

interface Import {
  readonly target: string;
  readonly line: number;
  readonly typeOnly: boolean;
}
interface Span {
  readonly name: string;
  readonly line: number;
  readonly lines: number;
}
interface Source {
  readonly path: string;
  readonly lines: number;
  readonly imports: readonly Import[];
  readonly functions: readonly Span[];
}

type SyntaxNode = { readonly type: string; readonly start: number; readonly end: number; readonly id?: { readonly name?: string } | null };
const isNode = (value: unknown): value is SyntaxNode => typeof value === 'object' && value !== null && 'type' in value && 'start' in value;
const functionTypes = new Set(['FunctionDeclaration', 'FunctionExpression', 'ArrowFunctionExpression']);

/** Functions that stand in no other function, with the name they go by. */
function outerFunctions(node: SyntaxNode, lineAt: (offset: number) => number, name = '', found: Span[] = []): Span[] {
  const own = nameOf(node) ?? name;
  if (functionTypes.has(node.type)) {
    found.push({ name: own || 'a function without a name', line: lineAt(node.start), lines: lineAt(node.end) - lineAt(node.start) + 1 });
    return found;
  }
  for (const value of Object.values(node)) for (const child of Array.isArray(value) ? value : [value]) if (isNode(child)) outerFunctions(child, lineAt, own, found);
  return found;
}

function nameOf(node: SyntaxNode): string | undefined {
  const { key } = node as { key?: { readonly name?: string } };
  return node.id?.name ?? key?.name;
}

function readSource(path: string): Source {
  const text = readFileSync(join(src, path), 'utf8');
  const parsed = parseSync(path, text);
  const [error] = parsed.errors;
  if (error) throw new Error(`src/${path} does not parse: ${error.message}`);
  const starts = [...text.matchAll(/^/gm)].map(match => match.index);
  const lineAt = (offset: number) => starts.findLastIndex(start => start <= offset) + 1;
  const { staticImports, staticExports, dynamicImports } = parsed.module;
  const imports = [
    ...staticImports.map(({ moduleRequest, entries, start }) => ({
      target: moduleRequest.value,
      line: lineAt(start),
      typeOnly: entries.length > 0 && entries.every(({ isType }) => isType),
    })),
    ...staticExports.flatMap(({ entries, start }) =>
      entries.flatMap(({ moduleRequest, isType }) => (moduleRequest ? [{ target: moduleRequest.value, line: lineAt(start), typeOnly: isType }] : [])),
    ),
    ...dynamicImports.map(({ moduleRequest, start }) => ({
      target: text.slice(moduleRequest.start, moduleRequest.end).replace(/^['"`]|['"`]$/g, ''),
      line: lineAt(start),
      typeOnly: true,
    })),
  ];
  return { path, lines: text.split('\n').length - 1, imports, functions: outerFunctions(parsed.program as unknown as SyntaxNode, lineAt) };
}

const sources = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter(path => /\.tsx?$/.test(path) && !path.endsWith('.d.ts'))
  .sort()
  .map(readSource);
const roomOf = (path: string): string => (path.includes('/') ? (path.split('/')[0] ?? '') : '');
/** The path below src/ that a relative import leads to. */
const targetOf = (path: string, target: string): string => relative(src, resolve(src, dirname(path), target));
const edges = sources.flatMap(({ path, imports }) => imports.filter(({ target }) => target.startsWith('.')).map(edge => ({ ...edge, path, to: targetOf(path, edge.target) })));
const packages = sources.flatMap(({ path, imports }) => imports.filter(({ target }) => !target.startsWith('.')).map(edge => ({ ...edge, path })));

test('every folder of src/ is a room with a rank', () => {
  const unknown = [...new Set(sources.map(({ path }) => roomOf(path)))].filter(room => room !== '' && rank[room] === undefined);
  expect(unknown, 'give each room a rank in DESIGN and in this test').toEqual([]);
});

test('a room imports only rooms of a lower rank', () => {
  const faults = edges.flatMap(({ path, line, to }) => {
    const [from, room] = [roomOf(path), roomOf(to)];
    if (to.startsWith('..')) return [`src/${path}:${line} leaves src/ for ${to}: product code stands alone.`];
    if (from === '' || from === room) return [];
    if (room === '') return [`src/${path}:${line} imports ${to}, which stands above all rooms.`];
    if ((rank[room] ?? 99) < (rank[from] ?? -1)) return [];
    return [
      `src/${path}:${line} imports ${to}, but ${from}/ (rank ${rank[from]}) may not use ${room}/ (rank ${rank[room]}): move what both need down, or compose them in pipeline/.`,
    ];
  });
  expect(faults).toEqual([]);
});

test('a file that starts with _ is private to its room', () => {
  const faults = edges
    .filter(({ path, to }) => roomOf(path) !== roomOf(to) && /(^|\/)_/.test(to))
    .map(({ path, line, to }) => `src/${path}:${line} imports ${to}, which is private to ${roomOf(to)}/: ask that room for an export.`);
  expect(faults).toEqual([]);
});

test('relative imports name real files with their ending', () => {
  const known = new Set(sources.map(({ path }) => path));
  const faults = edges
    .filter(({ to }) => /\.[jt]sx?$|^[^.]*$/.test(to) && !known.has(to))
    .map(({ path, line, target }) => `src/${path}:${line} imports ${target}, which is not there.`);
  expect(faults).toEqual([]);
});

test('no files import each other in a circle', () => {
  const next = new Map(sources.map(({ path }) => [path, edges.filter(edge => edge.path === path && !edge.typeOnly).map(({ to }) => to)]));
  const done = new Set<string>();
  const circles: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    if (trail.includes(path)) circles.push([...trail.slice(trail.indexOf(path)), path].join(' → '));
    if (trail.includes(path) || done.has(path)) return;
    for (const to of next.get(path) ?? []) visit(to, [...trail, path]);
    done.add(path);
  };
  for (const { path } of sources) visit(path, []);
  expect(circles).toEqual([]);
});

test('packages with one door come in by it; pure rooms start and reach nothing', () => {
  const faults = packages.flatMap(({ path, line, target }) => {
    const name = target.split('/')[0] ?? '';
    const door = Object.hasOwn(doors, name) ? doors[name] : undefined;
    if (door && !door.test(path)) return [`src/${path}:${line} imports ${target}, which only ${door.source} may.`];
    if (pure.includes(roomOf(path)) && effects.includes(target)) return [`src/${path}:${line} imports ${target}, but ${roomOf(path)}/ holds functions of their arguments.`];
    return [];
  });
  expect(faults).toEqual([]);
});

test(`files keep to ${budget.file} lines, functions to ${budget.function}, components to ${budget.component}`, () => {
  const faults = sources.flatMap(({ path, lines, functions }) => {
    const limit = longFiles.find(({ files }) => files.test(path))?.lines ?? budget.file;
    const file = lines > limit ? [`src/${path} has ${lines} lines, over ${limit}: split it by what changes together, or name it in longFiles if it is a table.`] : [];
    const long = functions.flatMap(span => {
      const most = path.endsWith('.tsx') && /^[A-Z]/.test(span.name) ? budget.component : budget.function;
      return span.lines > most ? [`src/${path}:${span.line} ${span.name} has ${span.lines} lines, over ${most}: give its parts names.`] : [];
    });
    return [...file, ...long];
  });
  expect(faults).toEqual([]);
});

test('no room hides behind an index, and no name says nothing', () => {
  const faults = sources.flatMap(({ path }) => {
    const name = path.split('/').at(-1) ?? '';
    if (path.includes('/') && /^index\.tsx?$/.test(name)) return [`src/${path}: import files by their names.`];
    if (/(manager|helper|util|service|base|handler)s?\.tsx?$/.test(name) && !/database/.test(name)) return [`src/${path}: say what it does.`];
    return /^_?[a-z0-9]+(-[a-z0-9]+)*\.tsx?$/.test(name) ? [] : [`src/${path} is not kebab-case.`];
  });
  expect(faults).toEqual([]);
});
