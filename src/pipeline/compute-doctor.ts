import { type ComputeName, chooseCompute, computeCaution, computeFacts, computeMends } from '../compute/choose.ts';
import { selfTestNchwc } from '../compute/self-test.ts';
import { onnxruntimeVersion } from '../compute/session.ts';
import { asEdgeError } from '../core/errors.ts';
import type { DoctorRow } from '../deploy/doctor.ts';
import { writeOnnx } from '../formats/onnx.ts';
import { computeDistance } from '../train/open-graph.ts';

const rowName = (name: ComputeName): string => `compute ${name}`;

/** What can train on this machine (each present one tried with the gradients of a small network), what is missing with the command that adds it, and what `auto` takes. */
export async function doctorCompute(): Promise<readonly DoctorRow[]> {
  const facts = computeFacts();
  const fast = await selfTestNchwc(writeOnnx);
  const { name, why } = chooseCompute('auto', facts);
  const tfjsMend = facts.nvidia ? computeMends.tfjsGpu : computeMends.tfjs;
  return [
    { name: rowName('onnxruntime-cpu'), state: fast.usable ? 'ok' : 'note', value: `onnxruntime ${onnxruntimeVersion()}. ${fast.note}` },
    await tried('onnxruntime-webgpu', computeMends.vulkan),
    facts.cudaProvider
      ? await tried('onnxruntime-cuda', computeMends.cudnn)
      : {
          name: rowName('onnxruntime-cuda'),
          state: 'missing',
          value: `its files are not installed${facts.nvidia ? '' : ', and no NVIDIA GPU is visible'}`,
          mend: computeMends.cuda,
        },
    facts.tfjs === undefined ? { name: rowName('tfjs'), state: 'missing', value: 'none of its packages is installed', mend: tfjsMend } : await tried('tfjs', tfjsMend),
    { name: 'compute auto', state: 'ok', value: `takes ${name}: ${why}` },
  ];
}

async function tried(name: ComputeName, mend: string): Promise<DoctorRow> {
  try {
    const distance = await computeDistance(name);
    const said = `computes; gradients of a small network lie ${distance.toExponential(1)} from the CPU's. ${computeCaution(name) ?? ''}`.trim();
    return distance < 1e-3 ? { name: rowName(name), state: 'note', value: said } : { name: rowName(name), state: 'missing', value: `computes wrongly: ${said}`, mend };
  } catch (error) {
    return { name: rowName(name), state: 'missing', value: asEdgeError(error).message.split('\n')[0] ?? '', mend };
  }
}
