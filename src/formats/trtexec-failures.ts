import { EdgeError, type ErrorCode } from '../core/errors.ts';
import { parseTrtexecLog, type TrtexecLog } from './trtexec.ts';

/** Why trtexec did not do its work. */
export type FailureKind =
  | 'unknown-option'
  | 'engine-of-another-version'
  | 'engine-of-another-gpu'
  | 'operator-unsupported'
  | 'plugin-missing'
  | 'plugin-format'
  | 'quantization-invalid'
  | 'shape-mismatch'
  | 'calibration-rejected'
  | 'no-tactic'
  | 'out-of-memory'
  | 'killed'
  | 'crashed'
  | 'parse-error'
  | 'file-missing'
  | 'incomplete'
  | 'unknown';

export interface TrtexecFailure {
  readonly kind: FailureKind;
  /** The line of the log that decided it. */
  readonly line?: string;
  /** The option, node, operator or plugin that is to blame, where the log names it. */
  readonly subject?: string;
  /** Message and mend, ready to be thrown. */
  readonly error: EdgeError;
}

interface Rule {
  readonly kind: FailureKind;
  readonly code?: ErrorCode;
  readonly pattern: RegExp;
  readonly message: (subject: string) => string;
  readonly hint: (subject: string) => string;
}

// In order: the most telling first. Patterns look at one line and are linear in its length; a named group is the subject.
const rules: readonly Rule[] = [
  {
    kind: 'unknown-option',
    pattern: /Unknown option: (?<subject>--?[\w-]{1,64}[^\n]{0,120})/,
    message: option => `This trtexec does not know the option ${option}.`,
    hint: () => 'Words are made for the version that trtexec --help names on the device: read its facts again with: edgeforge doctor <device>',
  },
  {
    kind: 'engine-of-another-version',
    pattern: /expecting library version (?<subject>\S{1,32} got \S{1,32})|magicTag == rt::kPLAN_MAGIC_TAG|Version tag does not match|plan file .{0,60}version .{0,40}mismatch/,
    message: versions => `The engine was built by another TensorRT${versions ? ` (expecting ${versions.replace(/[,.]$/, '')})` : ''}.`,
    hint: () => 'Build it again on this device: edgeforge deploy <device>',
  },
  {
    kind: 'engine-of-another-gpu',
    pattern: /incompatible device|Target GPU SM (?<subject>\d{1,3}) is not supported|generated on .{0,60}incompatible/,
    message: sm => `The engine was built for another GPU${sm ? ` (SM ${sm})` : ''}.`,
    hint: () => 'Engines are never copied between devices; build it again here: edgeforge deploy <device>',
  },
  {
    kind: 'calibration-rejected',
    code: 'calibration-invalid',
    pattern:
      /Calibration failure occurred with no scaling factors|Tensor .{0,200}is bound to nullptr|(?<!\[W\] .{0,60})Calibration table does not match calibrator algorithm type|_Map_base::at/,
    message: () => 'TensorRT rejected the calibration cache: its header names another version or algorithm, or its tensors are not those of this network.',
    hint: () => 'Export the cache again for this device’s TensorRT: edgeforge export --precision int8',
  },
  {
    kind: 'quantization-invalid',
    pattern: /(?<subject>Scale coefficients must all be positive|invalid weights type of Int8|zero point .{0,60}must be)/i,
    message: what => `TensorRT refuses the Q/DQ nodes of this model: ${what}.`,
    hint: () => 'Export the model again with edgeforge (dead channels get a small positive scale, weights stay FP32 before Q), or use a calibration cache.',
  },
  {
    kind: 'plugin-missing',
    code: 'operator-unsupported',
    pattern: /getPluginCreator could not find plugin (?<subject>\S{1,80})|Plugin not found|could not find plugin: (?:\S{1,80})/i,
    message: plugin => `TensorRT here has neither an importer nor a plugin for ${plugin || 'an operator of this model'}.`,
    hint: () => 'Export the network without this operator (raw maps, decoded by the host), or install the plugin library and name it in --staticPlugins.',
  },
  {
    kind: 'operator-unsupported',
    code: 'operator-unsupported',
    pattern: /No importer registered for op: (?<subject>[\w.-]{1,80})/,
    message: op => `This TensorRT does not know the operator ${op.replace(/\.$/, '')}.`,
    hint: () => 'Export with an older opset or without this operator, or use a device with a newer TensorRT: edgeforge doctor <device> lists what is possible.',
  },
  {
    kind: 'plugin-format',
    pattern: /could not find any supported formats consistent with input\/output data types/,
    message: () => 'A plugin of this model does not work in the wanted precision.',
    hint: () => 'Build with FP32 or FP16, or export the network without the plugin.',
  },
  {
    kind: 'shape-mismatch',
    code: 'shape-mismatch',
    pattern: /(?:setInputShape.{0,200}?)?(?<subject>Static dimension mismatch[^\n]{0,160})|setInputShape|The --batch and --maxBatch flags should not be used/,
    message: what => `The wanted input shape contradicts the model${what ? `: ${what}` : ''}.`,
    hint: () => 'Export the model with the batch you want to run: an engine for another batch is another engine.',
  },
  {
    kind: 'out-of-memory',
    code: 'device-full',
    pattern: /Cuda Runtime \(out of memory\)|cudaErrorMemoryAllocation|std::bad_alloc|OutOfMemory \(no further information\)/i,
    message: () => 'The device ran out of memory.',
    hint: () => 'Free memory (sudo systemctl isolate multi-user.target), add swap, or lower the workspace; then deploy again.',
  },
  {
    kind: 'no-tactic',
    pattern: /Could not find any implementation for node (?<subject>[^\n]{1,160})/,
    message: node => `TensorRT found no implementation for the node ${node.replace(/\.$/, '')}.`,
    hint: () => 'Give the build more workspace (memory on the device permitting), or build in another precision.',
  },
  {
    kind: 'file-missing',
    code: 'file-missing',
    pattern: /Could not open file (?<subject>[^\n]{1,160})|Error opening engine file|Failed to open (?:engine|file)|cannot open (?:engine|file)|Error: (?:could not|cannot) open/i,
    message: file => `trtexec could not open ${file ? `the file ${file}` : 'its input file'}.`,
    hint: () => 'The file is not on the device any more: deploy again, what is missing is pushed.',
  },
  {
    kind: 'parse-error',
    code: 'operator-unsupported',
    pattern:
      /While parsing node number (?<subject>\d{1,6} \[[^\]\n]{0,160}\])|In function (?:import|convert)\w{0,60}|Failed to parse (?:the )?onnx file|Network must have at least one output|Parsing model failed/i,
    message: node => `TensorRT’s ONNX parser stopped${node ? ` at node ${node}` : ''}.`,
    hint: () => 'Look at that node with: edgeforge inspect <model.onnx>; a newer TensorRT or an older opset may do.',
  },
];

/**
 * Why a run of trtexec failed, and the mend. `exitCode` tells a kill (137) and a crash (139) from an answer.
 * Undefined where the run is fine: a PASSED banner (or a summary) and exit code 0 or unknown.
 */
export function classifyTrtexecFailure(
  text: string,
  { exitCode, log = parseTrtexecLog(text) }: { readonly exitCode?: number; readonly log?: TrtexecLog } = {},
): TrtexecFailure | undefined {
  if (log.outcome === 'passed' && (exitCode === undefined || exitCode === 0)) return undefined;
  const said = log.errors.at(-1);
  const killed = exitCode === 137 || /\bKilled\b\s*$/.test(text.slice(-4096));
  if (killed) return failure('killed', 'device-full', 'trtexec was killed, most likely by the kernel for lack of memory (exit code 137, no closing banner).', outOfMemory, said);
  const found = firstMatch(text);
  if (found !== undefined) return found;
  if (exitCode === 139 || /Segmentation fault/.test(text.slice(-4096))) {
    return failure(
      'crashed',
      'engine-build-failed',
      'trtexec crashed (SIGSEGV, exit code 139).',
      'Old TensorRT crashes on some models and plugins: build in FP32 once, then look at the last verbose lines.',
      said,
    );
  }
  if (log.outcome === 'incomplete') {
    return failure(
      'incomplete',
      'engine-build-failed',
      'The log of trtexec ends without a closing banner.',
      'Deploy again: an interrupted build starts over, everything pushed stays.',
      said,
    );
  }
  return failure(
    'unknown',
    'engine-build-failed',
    `trtexec failed: ${said ?? 'it printed no error (stderr was not captured)'}`,
    'Read the whole log, named at the end of the run.',
    said,
  );
}

const outOfMemory = 'Free memory (sudo systemctl isolate multi-user.target), add swap, or lower the workspace; dmesg names the killer.';

/** The rule that comes first in the table and matches anywhere. Only lines that are no progress talk are looked at: verbose logs have thousands. */
function firstMatch(text: string): TrtexecFailure | undefined {
  const lines = text
    .split('\n')
    .filter(line => line !== '' && !/\] \[[VI]\] /.test(line.slice(0, 120)) && !line.includes('&&&& '))
    .slice(-20_000)
    .map(line => line.slice(0, 2000));
  for (const rule of rules) {
    for (const line of lines) {
      const match = rule.pattern.exec(line);
      if (match === null) continue;
      const subject = match.groups?.subject?.trim();
      const error = new EdgeError(rule.code ?? 'engine-build-failed', rule.message(subject ?? ''), { hint: rule.hint(subject ?? '') });
      return { kind: rule.kind, line: line.trim(), ...(subject === undefined ? {} : { subject }), error };
    }
  }
  return undefined;
}

const failure = (kind: FailureKind, code: ErrorCode, message: string, hint: string, line: string | undefined): TrtexecFailure => ({
  kind,
  ...(line === undefined ? {} : { line }),
  error: new EdgeError(code, message, { hint }),
});
