import { EdgeError } from '../../../core/errors.ts';
import { calibrationProblems, parseCalibrationCache } from '../../../formats/calibration-cache.ts';
import { iniValue, parseIni } from '../../../formats/ini.ts';
import { readKittiLabels } from '../../../formats/kitti.ts';
import { parseLabels } from '../../../formats/labels.ts';
import { parseNvTegraRelease } from '../../../formats/nv-tegra.ts';
import { keyPlaceholder } from '../../../formats/nvinfer.ts';
import { parseReport } from '../../../formats/report.ts';
import { reportTerminal } from '../../../formats/report-terminal.ts';
import { parseSpec } from '../../../formats/spec/parse-spec.ts';
import { validateSpec } from '../../../formats/spec/validate.ts';
import { parseTegrastats } from '../../../formats/tegrastats.ts';
import { parseTrtexecLog } from '../../../formats/trtexec.ts';
import { parseCalibrationList } from '../../../pipeline/tlt/calibration-list.ts';
import { figure } from '../../run-lines.ts';
import { type Inspection, shortened } from './inspection.ts';

/** How a kind of text is known by its beginning, and read whole. `read` throws where the text is of the kind and broken; undefined: it is another kind after all. */
interface TextKind {
  readonly knows: (head: string, file: string) => boolean;
  readonly read: (text: string, file: string) => Inspection | undefined;
}
// Expressions see only this much, and none can run over line ends: a hostile file costs nothing.
const headLength = 65_536;

const textKinds: readonly TextKind[] = [
  { knows: head => /^\uFEFF?TRT-\d/.test(head) || /^1\r?\n[^\n]+: [0-9a-f]{1,8}\r?\n/.test(head), read: cache },
  { knows: head => head.includes('"edgeforge-calibration-images"'), read: calibrationList },
  { knows: head => head.trimStart().startsWith('{') && ['"schemaVersion"', '"device"', '"protocol"'].every(key => head.includes(key)), read: report },
  { knows: head => /^&&&& (?:RUNNING|PASSED|FAILED) TensorRT/m.test(head) || head.includes('=== Performance summary ==='), read: trtexec },
  { knows: head => /\bRAM \d+\/\d+MB\b/.test(head) && head.includes('CPU ['), read: tegrastats },
  { knows: head => /\bR\d+ \(release\)/.test(head), read: nvTegra },
  { knows: head => /^\[(?:property|application|primary-gie|tiled-display)\]/m.test(head) || (/^net-scale-factor=/m.test(head) && !head.includes('{')), read: deepstream },
  { knows: head => /^[ \t]*\w+[ \t]*:?[ \t]*\{/m.test(head) || /^__class_name__:/m.test(head), read: spec },
  { knows: head => /^\S+ (?:-?[\d.]+ ){13,14}-?[\d.]+[ \t]*\r?$/m.test(head), read: kitti },
  { knows: (head, file) => /labels?[^/]*\.txt$/i.test(file) && head.length < headLength, read: labels },
];

/** What a text file is, or undefined where it is none that we know. */
export function inspectText(text: string, file: string): Inspection | undefined {
  const head = text.slice(0, headLength);
  for (const { knows, read } of textKinds) {
    const found = knows(head, file) ? read(text, file) : undefined;
    if (found) return found;
  }
  return undefined;
}

function cache(text: string): Inspection {
  const parsed = parseCalibrationCache(text);
  const problems = calibrationProblems(parsed);
  const rows = parsed.entries.map(({ name, scale }) => [name, figure(scale), figure(scale * 127)]);
  return {
    kind: 'INT8 calibration cache of TensorRT',
    facts: [
      ['header', parsed.header],
      ['TensorRT', parsed.tensorrt ?? 'not stated'],
      ['algorithm', parsed.algorithm ?? 'not stated'],
      ['tensors', String(parsed.entries.length)],
    ],
    tables: [{ title: 'Tensors', rows: shortened([['name', 'scale', 'range ±'], ...rows], 20) }],
    notes: [...problems, ...(parsed.tensorrt ? [`TensorRT of another version than ${parsed.tensorrt} ignores it.`] : [])],
    data: {
      header: parsed.header,
      tensorrt: parsed.tensorrt,
      algorithm: parsed.algorithm,
      problems,
      tensors: parsed.entries.map(({ name, scale }) => ({ name, scale, range: scale * 127 })),
    },
  };
}

function calibrationList(text: string): Inspection {
  const { spec, images } = parseCalibrationList(text);
  return {
    kind: 'list of calibration images (in place of TLT’s tensorfile)',
    facts: [
      ['images', String(images.length)],
      ['from the spec', spec],
    ],
    tables: [{ title: 'Images', rows: shortened([['file'], ...images.map(image => [image])], 10) }],
    notes: [],
    data: { spec, images },
  };
}

function report(text: string): Inspection {
  const parsed = parseReport(text);
  const shown = reportTerminal(parsed, { color: false, width: 100 });
  return { kind: 'report of edgeforge', facts: [], tables: [], body: shown, notes: [], data: { report: parsed } };
}

function spec(text: string, file: string): Inspection | undefined {
  let parsed: ReturnType<typeof parseSpec>;
  try {
    parsed = parseSpec(text, { file });
  } catch (error) {
    // Braces alone make no spec: only a text with TLT's sections counts as a broken one.
    if (error instanceof EdgeError && !/_config\b/.test(text)) return undefined;
    throw error;
  }
  const { errors, notes } = validateSpec(parsed);
  return {
    kind: `TLT spec: ${parsed.task}`,
    facts: [
      ['sections', Object.keys(parsed.message).join(', ')],
      ['fields set', String(parsed.lines.size)],
      ['errors', String(errors.length)],
    ],
    tables: [{ title: 'Errors', rows: [['line', 'path', 'message'], ...errors.map(({ line, path, message }) => [String(line ?? ''), path, message])] }],
    notes: [...notes, `Every default: edgeforge spec explain ${file}`],
    data: { task: parsed.task, message: parsed.message, errors, notes },
  };
}

function trtexec(text: string): Inspection {
  const log = parseTrtexecLog(text);
  const times = (name: string, value: typeof log.latencyMs) =>
    value ? [[name, ...[value.median, value.mean, value.p99].map(ms => (ms === undefined ? '' : `${figure(ms)} ms`))]] : [];
  return {
    kind: 'trtexec log',
    facts: [
      ['TensorRT', log.version ?? 'not stated'],
      ['outcome', log.outcome],
      ...(log.throughputQps === undefined ? [] : [['throughput', `${figure(log.throughputQps)} queries/s`] as const]),
    ],
    tables: [{ title: 'Times', rows: [['', 'median', 'mean', 'p99'], ...times('latency', log.latencyMs), ...times('GPU', log.gpuComputeMs)] }],
    notes: [...log.notes, ...log.errors.slice(0, 5), ...log.warnings.slice(0, 5)],
    data: { log },
  };
}

function tegrastats(text: string): Inspection {
  const lines = text.split('\n').filter(line => line.trim() !== '');
  const first = parseTegrastats(lines[0] ?? '');
  const rails = Object.entries(first.railsMw).map(([name, { now, average }]) => [name, `${now} mW`, `${average} mW`]);
  return {
    kind: 'tegrastats output',
    facts: [
      ['lines', String(lines.length)],
      ['RAM', `${first.ramUsedMB} of ${first.ramTotalMB} MB`],
      ['CPUs', String(first.cpu.length)],
    ],
    tables: [{ title: 'Power rails (first line)', rows: [['rail', 'now', 'average'], ...rails] }],
    notes: [],
    data: { lines: lines.length, first },
  };
}

function nvTegra(text: string): Inspection {
  const { release, revision } = parseNvTegraRelease(text);
  return { kind: 'L4T release of a Jetson', facts: [['L4T', `${release}.${revision}`]], tables: [], notes: [], data: { release, revision } };
}

function deepstream(text: string): Inspection {
  const ini = parseIni(text, { headless: 'property' });
  const wanted = [
    'onnx-file',
    'tlt-encoded-model',
    'model-engine-file',
    'int8-calib-file',
    'labelfile-path',
    'network-mode',
    'batch-size',
    'net-scale-factor',
    'offsets',
    'model-color-format',
    'output-blob-names',
    'cluster-mode',
  ];
  const facts = wanted.flatMap(key => {
    const value = iniValue(ini, 'property', key);
    return value === undefined ? [] : [[key, value] as const];
  });
  const groups = ini.groups.map(({ name, entries }) => ({ name, keys: entries.length }));
  return {
    kind: 'DeepStream config',
    facts,
    tables: [{ title: 'Groups', rows: [['group', 'keys'], ...groups.map(({ name, keys }) => [name, String(keys)])] }],
    notes: [undefined, keyPlaceholder].includes(iniValue(ini, 'property', 'tlt-model-key')) ? [] : ['It holds a model key: do not commit it.'],
    data: { groups, property: Object.fromEntries(facts) },
  };
}

function kitti(text: string): Inspection {
  const objects = readKittiLabels(text, { fields: 'either' });
  const counts = new Map<string, number>();
  for (const { className } of objects) counts.set(className, (counts.get(className) ?? 0) + 1);
  return {
    kind: 'KITTI label file',
    facts: [['objects', String(objects.length)]],
    tables: [{ title: 'Classes', rows: [['class', 'objects'], ...[...counts].map(([name, n]) => [name, String(n)])] }],
    notes: [],
    data: { objects },
  };
}

function labels(text: string): Inspection {
  const oneLine = text.trim().split('\n').length === 1 && text.includes(';');
  const { outputs, notes } = parseLabels(text, oneLine ? 'classifier' : 'detector');
  return {
    kind: `labels for DeepStream, ${oneLine ? 'classifier' : 'detector'}`,
    facts: outputs.map((classes, index) => [outputs.length === 1 ? 'classes' : `output ${index}`, `${classes.length}: ${classes.slice(0, 20).join(', ')}`] as const),
    tables: [],
    notes,
    data: { outputs },
  };
}
