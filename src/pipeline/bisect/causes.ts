import type { Grade, Precision } from '../../core/evidence.ts';
import type { Fit } from '../../data/placement.ts';
import type { FrameMatch } from '../../tasks/frame-match.ts';
import { type Setup, type Suspect, suspects } from './suspects.ts';

/** What one stage said of the frames. */
export interface Stage {
  readonly name: 'host' | 'engine' | 'deepstream';
  readonly precision?: Precision;
  readonly grade: Grade;
  readonly answers: number;
  /** Against the stage before: an engine against the host, DeepStream against its engine. */
  readonly match?: FrameMatch;
}
/** Why a stage changes, what speaks for it, and what mends it. */
export interface Cause {
  readonly cause: string;
  readonly message: string;
  /** What was run to know it. */
  readonly evidence: string;
  readonly mend: string;
}
/** A setup to run besides the deployed one: one suspect mended alone, all but one mended, or all. */
export interface Variant {
  readonly kind: 'alone' | 'all-but' | 'all';
  readonly suspect?: Suspect;
  readonly setup: Setup;
}

const mended = (deployed: Setup, wanted: Setup, which: readonly Suspect[]): Setup => which.reduce((setup, suspect) => suspect.mend(setup, wanted), deployed);

/** The setups by which causes are told apart: each setting that is not as the network wants it, mended alone; where there are several, also all of them, and all but each. */
export function variantsOf(deployed: Setup, wanted: Setup): readonly Variant[] {
  const off = suspects.filter(suspect => suspect.show(deployed) !== suspect.show(wanted));
  const alone = off.map((suspect): Variant => ({ kind: 'alone', suspect, setup: mended(deployed, wanted, [suspect]) }));
  if (off.length < 2) return alone;
  const butOne = off.map(
    (suspect): Variant => ({
      kind: 'all-but',
      suspect,
      setup: mended(
        deployed,
        wanted,
        off.filter(other => other !== suspect),
      ),
    }),
  );
  return [...alone, ...butOne, { kind: 'all', setup: mended(deployed, wanted, off) }];
}

const shares = ({ equal, before, borderline }: FrameMatch): string =>
  `${equal} of ${before} answers are as before${borderline > 0 ? ` (${borderline} come or go near the threshold)` : ''}`;

interface Tried extends Variant {
  readonly match?: FrameMatch | undefined;
}
interface Explained {
  readonly before: FrameMatch;
  readonly tried: readonly Tried[];
  readonly deployed: Setup;
  readonly wanted: Setup;
  readonly fit: Fit;
  /** What changed was seen in files of a real run. */
  readonly real: boolean;
}

/** Causes of a change at the DeepStream stage, by what each mend restored: alone where one does it, else those without which all others do not. */
export function explain({ before, tried, deployed, wanted, fit, real }: Explained): readonly Cause[] {
  const of = (kind: Variant['kind']) => tried.filter(each => each.kind === kind);
  const alone = of('alone').filter(({ match }) => match?.same);
  const told = ({ suspect }: Variant, evidence: string): Cause => ({
    cause: suspect!.cause,
    message: `${suspect!.key} is ${suspect!.show(deployed)}; the network wants ${suspect!.show(wanted)}.`,
    evidence: `as deployed ${shares(before)}; ${evidence}`,
    mend: `Correct ${suspect!.key}, or write the configs again: edgeforge export --out DIR`,
  });
  if (alone.length > 0) return alone.toSorted((a, b) => b.match!.equal - a.match!.equal).map(each => told(each, `with this alone mended ${shares(each.match!)}`));
  const all = of('all')[0]?.match;
  const needed = all?.same ? of('all-but').filter(({ match }) => match && !match.same) : [];
  if (all && needed.length > 0) return needed.map(each => told(each, `all settings mended, ${shares(all)}; all but this one, ${shares(each.match!)}`));
  const helping = of('alone').filter(({ match }) => match && match.changed < before.changed);
  return [...helping.map(each => told(each, `with this alone mended ${shares(each.match!)}, which is not enough`)), unexplained({ all, fit, before, real })];
}

/** What no setting mends. */
function unexplained({ all, fit, before, real }: { readonly all: FrameMatch | undefined; readonly fit: Fit; readonly before: FrameMatch; readonly real: boolean }): Cause {
  const evidence = `with every setting as the network wants it ${shares(all ?? before)}; the engine on the images as training placed them says the same as the host`;
  if (fit === 'none' || fit === 'centre-crop')
    return {
      cause: 'placement',
      message: `Training places images by ${fit === 'none' ? 'cutting or padding them unscaled' : 'scaling the short side and cutting out the middle'}; DeepStream scales the whole frame.`,
      evidence,
      mend: fit === 'none' ? 'Set enable_auto_resize: true in augmentation_config and train again.' : 'Set enable_center_crop: false in augmentation_config and train again.',
    };
  if (real && before.same)
    return {
      cause: 'outside the config',
      message: 'The config explains no difference, but the device’s files show one.',
      evidence,
      mend: 'Check that these files come from this config, these images in this order, and this frame size (--frame).',
    };
  return {
    cause: 'scaling',
    message: 'DeepStream scales frames otherwise than training does (no averaging where it shrinks; black padding).',
    evidence,
    mend: 'Train at the size of the deployed frames, or on images scaled as DeepStream scales; scaling-filter=1 (bilinear) is nearest to it.',
  };
}

/** Why an engine differs from the host, by what the device's other engines say. */
export function engineCause(stage: Stage, stages: readonly Stage[]): Cause {
  const others = stages.filter(each => each.name === 'engine' && each !== stage && each.match?.same);
  const evidence = `${shares(stage.match!)}; ${others.length > 0 ? `the ${others.map(each => each.precision).join(' and ')} engine of the same device says the same as the host` : 'no other engine of this device agrees with the host'}`;
  if (stage.precision === 'int8')
    return {
      cause: 'precision ranges',
      message: 'The INT8 engine’s ranges (its calibration cache or Q/DQ nodes) do not fit this network’s activations.',
      evidence,
      mend: 'Calibrate on images like these (edgeforge run calibrate, then deploy), with another algorithm or more images; or deploy fp16.',
    };
  if (stage.precision === 'fp16')
    return { cause: 'precision', message: 'The FP16 engine says something else: activations leave FP16’s range.', evidence, mend: 'Deploy fp32, or int8 where it agrees.' };
  return {
    cause: 'engine',
    message: 'The FP32 engine computes something else than the ONNX file it was built from.',
    evidence,
    mend: 'Build it again (edgeforge deploy), and report the network if it stays so.',
  };
}
