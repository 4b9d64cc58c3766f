import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { Precision } from '../../core/evidence.ts';
import { Store } from '../../core/store.ts';
import { storeRoot } from '../../core/store-root.ts';
import type { Size } from '../../data/placement.ts';
import type { DeepstreamVersion } from '../../formats/deepstream-version.ts';
import type { DeviceBisection } from '../../pipeline/bisect/bisect-device.ts';
import type { Stage } from '../../pipeline/bisect/causes.ts';
import { DevicePool } from '../../pipeline/device-pool.ts';
import { openProject } from '../../pipeline/project.ts';
import type { Cli } from '../cli.ts';
import { interrupted } from '../interrupted.ts';
import { table } from '../output.ts';
import { countOf, precisionOf, shareOf, sizeOf, versionOf } from './option-values.ts';

interface BisectOptions {
  readonly project?: string;
  readonly images: number;
  readonly precision?: Precision;
  readonly config?: string;
  readonly deepstream?: DeepstreamVersion;
  readonly kitti?: string;
  readonly frame?: Size;
  readonly iou: number;
  readonly score: number;
  readonly share: number;
  readonly json?: boolean;
}

/** bisect: the first stage between the host's ONNX and DeepStream at which boxes, scores or labels change. */
export function addBisectVerb(program: Command, cli: Cli): void {
  program
    .command('bisect <device>')
    .description(
      'the same images through the host’s ONNX, the device’s engines and DeepStream: the first stage that changes boxes, scores or labels, and why; exit code 1 where one does',
    )
    .option('--project <dir>', 'the project (default: the nearest edgeforge.yaml upwards)')
    .option('--images <n>', 'validation images to compare', countOf, 8)
    .option('--precision <precision>', 'only this engine (fp32, fp16, int8)', precisionOf)
    .option('--config <file>', 'the nvinfer config that runs, instead of the exported one')
    .option('--deepstream <version>', 'the version that reads it (default: the device’s own, else export.deepstream)', versionOf)
    .option('--kitti <dir>', 'what gie-kitti-output-dir wrote of these images, here or on the device, instead of the emulated stage')
    .option('--frame <size>', 'the muxer’s width and height, such as 1920x1080, where they are not the images’ own', sizeOf)
    .option('--iou <overlap>', 'least overlap of boxes that are the same', shareOf, 0.5)
    .option('--score <change>', 'scores may differ by', shareOf, 0.1)
    .option('--share <part>', 'part of all answers that may differ', shareOf, 0.05)
    .option('--json', 'print JSON')
    .action(cli.does(async (device: string, options: BisectOptions) => bisect(device, options, cli)));
}

async function bisect(name: string, options: BisectOptions, { output }: Cli): Promise<number> {
  const project = openProject({ folder: options.project });
  await using pool = new DevicePool(project);
  const { bisectDevice } = await import('../../pipeline/bisect/bisect-device.ts');
  const { images, precision, kitti, frame, iou, score, share } = options;
  const result = await bisectDevice({
    project,
    pool,
    store: new Store(storeRoot(project.folder)),
    device: name,
    images,
    precision,
    config: options.config === undefined ? undefined : resolve(options.config),
    deepstream: options.deepstream,
    kitti,
    frame,
    tolerance: { iou, score, share },
    signal: interrupted(),
    ...(options.json || !output.interactive ? {} : { onStage: what => output.err(`… ${what}`) }),
  });
  output.out(options.json ? JSON.stringify(result, null, 1) : textOf(result));
  return result.changes.length > 0 ? 1 : 0;
}

function textOf(result: DeviceBisection): string {
  const { stages, tolerance, changes, notes, images, config, deepstream } = result;
  const lines = [
    `${images.length} validation images. Boxes are the same from an IoU of ${tolerance.iou} and within ${tolerance.score} of the score; ${Math.round(tolerance.share * 100)} % may differ, and what lies within ${tolerance.score} of the threshold ${tolerance.floor} may come and go.`,
    '',
    table(stages.map(stage => [stage.match ? (stage.match.same ? '=' : '✖') : ' ', stageName(stage, result), ...countsOf(stage), stage.grade])),
    '',
    ...notes.map(note => `note: ${note}`),
  ];
  if (changes.length === 0) lines.push(`Nothing changes on the way from the host to DeepStream ${deepstream} (${config}).`);
  changes.forEach(({ stage, causes }, i) => {
    lines.push(`${i === 0 ? 'First change' : 'Then'}: ${stageName(stage, result)}${stage.name === 'deepstream' ? ` (${config})` : ''}.`);
    for (const { cause, message, evidence, mend } of causes) lines.push(`  ${cause}: ${message}`, `    evidence: ${evidence}`, `    mend: ${mend}`);
  });
  return lines.join('\n');
}

const stageName = ({ name, precision }: Stage, { device, runtime, deepstream }: DeviceBisection): string =>
  name === 'host' ? 'ONNX on this host' : name === 'engine' ? `${precision} engine on ${device} (${runtime})` : `DeepStream ${deepstream}, ${precision}`;

function countsOf({ answers, match }: Stage): string[] {
  if (!match) return [`${answers} answers`, ''];
  const parts = (['equal', 'lost', 'added', 'relabelled', 'rescored', 'borderline'] as const).filter(key => key === 'equal' || match[key] > 0).map(key => `${match[key]} ${key}`);
  return [`${answers} answers`, `${parts.join(', ')}; mean IoU ${match.meanIou.toFixed(2)}, scores ${match.scoreShift >= 0 ? '+' : ''}${match.scoreShift.toFixed(3)}`];
}
