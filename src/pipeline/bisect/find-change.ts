import { EdgeError } from '../../core/errors.ts';
import type { Grade, Precision } from '../../core/evidence.ts';
import type { Pixels } from '../../data/decode.ts';
import { nvinferBox, nvinferInput, nvinferPlacement } from '../../data/nvinfer-input.ts';
import { type Fit, type Placement, unplaceBox } from '../../data/placement.ts';
import { gradeOf } from '../../deploy/grade.ts';
import { f32, type Tensor } from '../../graph/ir.ts';
import { type FrameMatch, matchFrames, type Seen, type Tolerance } from '../../tasks/frame-match.ts';
import { type NvinferAnswer, parseNvinfer } from '../../tasks/nvinfer-parse.ts';
import type { NamedTensors } from '../../tasks/task.ts';
import { type Cause, engineCause, explain, type Stage, variantsOf } from './causes.ts';
import { inputKey, labelOf, type Setup } from './suspects.ts';

/** Images [n, C, H, W] through a network; it may answer for fewer than it was given (the first of them). */
export type RunNetwork = (images: Tensor) => Promise<NamedTensors>;
/** An engine on the device. */
export interface EngineStage {
  readonly precision: Precision;
  readonly grade: Grade;
  readonly run: RunNetwork;
}
/** The same frames in every form that a stage takes. */
export interface Frames {
  readonly pixels: readonly Pixels[];
  /** As training saw them, [n, C, H, W], and where each frame lies there. */
  readonly tensor: Tensor;
  readonly placements: readonly Placement[];
  readonly fit: Fit;
}
export interface Bisection {
  readonly frames: Frames;
  readonly host: RunNetwork;
  readonly engines: readonly EngineStage[];
  /** What the network wants, as exported with it; and what is deployed. */
  readonly wanted: Setup;
  readonly deployed: Setup;
  /** What DeepStream itself wrote of these frames, instead of the emulated stage. */
  readonly kitti?: { readonly answers: readonly (readonly Seen[])[]; readonly grade: Grade };
  readonly tolerance: Omit<Tolerance, 'floor'>;
}
export interface Change {
  readonly stages: readonly Stage[];
  readonly tolerance: Tolerance;
  /** Every stage that changes beyond the tolerance, and why; the first one first. */
  readonly changes: readonly { readonly stage: Stage; readonly causes: readonly Cause[] }[];
  readonly notes: readonly string[];
}

interface Shape {
  readonly channels: number;
  readonly width: number;
  readonly height: number;
}
const shapeOf = ({ dims }: Tensor): Shape => ({ channels: dims[1] ?? 0, height: dims[2] ?? 0, width: dims[3] ?? 0 });

/** nvinfer builds or takes no engine of another size: there is nothing to compare then. */
function refuseSize({ reading: { input } }: Setup, tensor: Tensor): void {
  const wanted = tensor.dims.slice(1);
  if (input?.some((side, axis) => side !== wanted[axis]))
    throw new EdgeError('shape-mismatch', `infer-dims is ${input.join(';')}, the network takes ${wanted.join(';')}: nvinfer refuses the engine.`, {
      hint: `Set infer-dims=${wanted.join(';')}`,
    });
}

/** Answers as a person names them: labels of the setup, boxes in pixels of the frame. */
const seenOf = (answers: readonly NvinferAnswer[], setup: Setup, toFrame: (box: Box, frame: number) => Box): Seen[][] =>
  answers.map((answer, frame) =>
    answer.kind === 'classes'
      ? answer.classes.map(({ layer, classIndex, score }) => ({ label: labelOf(setup, layer, classIndex), score }))
      : answer.boxes.map(({ classIndex, score, x1, y1, x2, y2 }) => ({
          label: labelOf(setup, 0, classIndex),
          box: toFrame({ x1, y1, x2, y2 }, frame),
          ...(score < 0 ? {} : { score }),
        })),
  );
type Box = NonNullable<Seen['box']>;

/** What a network says of frames as training placed them, read by nvinfer's parser with the settings the network wants. */
async function asTrained(run: RunNetwork, { frames, wanted }: Bisection): Promise<Seen[][]> {
  const answers = parseNvinfer(await run(frames.tensor), wanted.reading, shapeOf(frames.tensor));
  return seenOf(answers, wanted, (box, frame) => unplaceBox(box, frames.placements[frame]!));
}

/** What nvinfer keeps: boxes of hidden classes, outside the sizes or the region go; so do objects too small for a secondary, for which each frame stands as one. */
function kept(answers: readonly NvinferAnswer[], { reading }: Setup, frames: readonly Pixels[], shape: Shape): NvinferAnswer[] {
  return answers.map((answer, i) => {
    const { objects } = reading;
    const passed = objects !== undefined && (frames[i]!.width < objects.width || frames[i]!.height < objects.height);
    if (answer.kind === 'classes') return passed ? { kind: 'classes', classes: [] } : answer;
    const placement = nvinferPlacement(frames[i]!, shape, reading);
    const boxes = answer.boxes.filter(box => {
      const { least, most, roiTop, roiBottom } = reading.classes[box.classIndex]!;
      const { x1, y1, x2, y2 } = nvinferBox(box, placement);
      const [width, height] = [x2 - x1, y2 - y1];
      const small = width < least.width || height < least.height;
      const large = (most.width > 0 && width > most.width) || (most.height > 0 && height > most.height);
      return !small && !large && !reading.hiddenClasses.includes(box.classIndex) && y1 >= roiTop && y2 <= placement.frame.height - roiBottom;
    });
    return { kind: 'boxes', boxes };
  });
}

/** The DeepStream stage under each of several setups: every input that differs goes through the engine once, all in one call. Undefined where the engine ran too few images. */
async function asDeepstream(run: RunNetwork, { pixels, tensor }: Frames, setups: readonly Setup[]): Promise<(Seen[][] | undefined)[]> {
  const shape = shapeOf(tensor);
  const size = shape.channels * shape.width * shape.height;
  const keys = [...new Set(setups.map(inputKey))];
  const data = new Float32Array(keys.length * pixels.length * size);
  keys.forEach((key, k) => {
    const { reading } = setups.find(setup => inputKey(setup) === key)!;
    pixels.forEach((frame, i) => {
      const at = (k * pixels.length + i) * size;
      nvinferInput(frame, shape, reading, data.subarray(at, at + size));
    });
  });
  const outputs = await run(f32([keys.length * pixels.length, ...tensor.dims.slice(1)], data));
  return setups.map(setup => {
    const from = keys.indexOf(inputKey(setup)) * pixels.length;
    const own = rows(outputs, from, from + pixels.length);
    if (own === undefined) return undefined;
    const answers = kept(parseNvinfer(own, setup.reading, shape), setup, pixels, shape);
    return seenOf(answers, setup, (box, frame) => nvinferBox(box, nvinferPlacement(pixels[frame]!, shape, setup.reading)));
  });
}

function rows(tensors: NamedTensors, from: number, to: number): NamedTensors | undefined {
  if ([...tensors.values()].some(({ dims }) => (dims[0] ?? 0) < to)) return undefined;
  return new Map(
    [...tensors].map(([name, tensor]) => {
      const each = tensor.dims.slice(1).reduce((product, dim) => product * dim, 1);
      return [name, { ...tensor, dims: [to - from, ...tensor.dims.slice(1)], data: tensor.data.subarray(from * each, to * each) }];
    }),
  );
}

const count = (answers: readonly (readonly Seen[])[]): number => answers.reduce((sum, each) => sum + each.length, 0);

/**
 * The same frames through the host's network, the device's engines and DeepStream: what changed at each stage, the first that changes beyond the tolerance, and its cause.
 * Host and engines are read by nvinfer's parser under the settings that the network wants, so that a stage differs by what it computes and not by how it is grouped.
 */
export async function findChange(bisection: Bisection): Promise<Change> {
  const { engines, wanted, deployed, frames, kitti } = bisection;
  const floor = wanted.reading.type === 'classifier' ? wanted.reading.classifierThreshold : Math.min(...wanted.reading.classes.map(each => each.preThreshold));
  const tolerance: Tolerance = { ...bisection.tolerance, floor };
  const notes: string[] = [];
  refuseSize(deployed, frames.tensor);
  const host = await asTrained(bisection.host, bisection);
  const stages: Stage[] = [{ name: 'host', grade: gradeOf({ emulated: false }), answers: count(host) }];
  const seen = new Map<EngineStage, Seen[][]>();
  for (const engine of engines) {
    const answers = await asTrained(engine.run, bisection);
    seen.set(engine, answers);
    stages.push({
      name: 'engine',
      precision: engine.precision,
      grade: engine.grade,
      answers: count(answers),
      match: matchFrames(host.slice(0, answers.length), answers, tolerance),
    });
  }
  const under = engines.find(({ precision }) => precision === deployed.reading.precision) ?? engines.at(-1);
  if (under && under.precision !== deployed.reading.precision)
    notes.push(`The config asks for ${deployed.reading.precision}; that engine was not run, so DeepStream’s stage takes the ${under.precision} one.`);
  const before = (under && seen.get(under)) ?? host;
  if (count(before) === 0) notes.push('No stage before DeepStream sees anything on these images: take more of them (--images), or a network that finds something.');
  const variants = variantsOf(deployed, wanted);
  const [emulated, ...others] = await asDeepstream(under?.run ?? bisection.host, frames, [deployed, ...variants.map(({ setup }) => setup)]);
  if (emulated === undefined || before.length < frames.pixels.length)
    throw new EdgeError('measurement-void', `The device ran only ${before.length} of ${frames.pixels.length} images in its time.`, { hint: 'Compare fewer: --images 4' });
  const answers = kitti?.answers ?? emulated;
  const match = matchFrames(before, answers, tolerance);
  if (kitti) notes.push(agreementNote(matchFrames(emulated, answers, tolerance)));
  stages.push({ name: 'deepstream', precision: under?.precision ?? deployed.reading.precision, grade: kitti?.grade ?? 'emulated', answers: count(answers), match });
  const tried = variants.map((variant, i) => ({ ...variant, match: others[i] && matchFrames(before, others[i], tolerance) }));
  const causesOf = (stage: Stage): readonly Cause[] =>
    stage.name === 'engine'
      ? [engineCause(stage, stages)]
      : explain({ before: matchFrames(before, emulated, tolerance), tried, deployed, wanted, fit: frames.fit, real: kitti !== undefined });
  const changes = stages.filter(({ match }) => match && !match.same).map(stage => ({ stage, causes: causesOf(stage) }));
  return { stages, tolerance, notes, changes };
}

const agreementNote = ({ equal, before, after, same }: FrameMatch): string =>
  same
    ? `The emulated stage says the same as the files of the device: ${equal} answers are equal.`
    : `The emulated stage differs from the files of the device (${equal} equal of ${before} and ${after}): the causes below are only as good as that.`;
