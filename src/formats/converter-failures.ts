import { EdgeError, type ErrorCode } from '../core/errors.ts';
import { classifyTrtexecFailure, type FailureKind } from './trtexec-failures.ts';

interface Rule {
  readonly code: ErrorCode;
  readonly pattern: RegExp;
  readonly message: (subject: string) => string;
  readonly hint: string;
}

// In order. The word on the key comes last: the tool says it of every network that it cannot parse.
const rules: readonly Rule[] = [
  {
    code: 'key-missing',
    pattern: /^edgeforge: the key is not there/m,
    message: () => 'The key did not reach the converter: its file was gone before the build began.',
    hint: 'Deploy again: edgeforge deploy <device> --model FILE.etlt --key-file FILE',
  },
  {
    code: 'usage',
    pattern: /error while loading shared libraries: (?<subject>[^\n:]{1,120})/,
    message: library => `The converter does not start: ${library} is missing on the device.`,
    hint: 'It was made for another system: take the release for this TensorRT from NGC. libcrypto.so.1.1 comes with: sudo apt install libssl1.1 (not on Ubuntu 22.04).',
  },
  {
    code: 'operator-unsupported',
    pattern: /Unsupported operation (?<subject>_?\w{1,80})/,
    message: plugin => `The device’s TensorRT has no plugin for ${plugin}.`,
    hint: 'Install the libnvinfer_plugin of TensorRT OSS for this version, or export the network as ONNX without the plugin.',
  },
  {
    code: 'shape-mismatch',
    pattern: /no input dimensions? given|Invalid (?:number of )?(?:input )?dimensions?[^\n]{0,80}|(?:UFF ?Parser|UffParser): [^\n]{0,160}(?:dimensions?|shape)[^\n]{0,80}/i,
    message: () => 'The converter refuses the input’s dimensions.',
    hint: 'Give those that the model was exported with: --dims C,H,W',
  },
  {
    code: 'graph-invalid',
    pattern: /Output error: Output (?<subject>\S{1,120}) not found|(?:output (?:node|blob|tensor)s?) (?<other>\S{1,120}) (?:is |was )?not found/i,
    message: node => `The network has no output node ${node}.`,
    hint: 'Name its own: --outputs output_cov/Sigmoid,output_bbox/BiasAdd (DetectNet_v2), --outputs predictions/Softmax (classification).',
  },
  {
    code: 'calibration-invalid',
    pattern: /_Map_base::at|Calibration table does not match|Calibration failure occurred with no scaling factors/,
    message: () => 'The converter rejects the calibration cache: its tensors are not those of this network, or its header names another version.',
    hint: 'Give the cache that was exported together with this very .etlt: --calibration cal.bin',
  },
];
// What TensorRT's lines tell for certain, whatever the tool says of the key afterwards.
const telling: readonly FailureKind[] = ['plugin-missing', 'plugin-format', 'operator-unsupported', 'quantization-invalid', 'out-of-memory', 'no-tactic', 'calibration-rejected'];
const keyRule = /Failed to parse (?:the )?model|UFF ?Parser(?:: )?[^\n]{0,40}error|please check the encoding key/i;

/**
 * Why tao-converter (or tlt-converter) made no engine, and the mend. Its exit code alone tells little: after any failure to parse it crashes (139).
 * A plugin, operator or lack of memory is told by TensorRT's own lines, as trtexec's are.
 */
export function classifyConverterFailure(text: string, exitCode: number): EdgeError {
  const found = classifyTrtexecFailure(text, { exitCode });
  if (exitCode === 137)
    return new EdgeError('device-full', 'The converter was killed, most likely by the kernel for lack of memory (exit code 137).', {
      hint: 'Free memory (sudo systemctl isolate multi-user.target), add swap, or lower the workspace (workspaceMiB at the device); then deploy again.',
    });
  for (const { code, pattern, message, hint } of rules) {
    const match = pattern.exec(text);
    if (match) return new EdgeError(code, message(match.groups?.subject ?? match.groups?.other ?? ''), { hint });
  }
  if (found && telling.includes(found.kind)) return found.error;
  if (keyRule.test(text))
    return new EdgeError(
      'key-missing',
      'The converter cannot parse the .etlt: the key is wrong, or the network holds something that this TensorRT does not know. The tool says the same of both.',
      {
        hint: 'Check the key first (NGC models: tlt_encode or nvidia_tlt) with: edgeforge inspect FILE.etlt --key-file FILE',
      },
    );
  const said = text.trim().split('\n').at(-1)?.slice(0, 200) ?? '';
  return new EdgeError('engine-build-failed', `The converter ended with exit code ${exitCode}${exitCode === 139 ? ' (it crashed)' : ''}${said ? `: ${said}` : ''}.`, {
    hint: 'The whole log lies beside the engine on the device. Or export ONNX (TAO 5), which trtexec builds.',
  });
}
