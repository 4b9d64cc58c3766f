import type { Precision } from '../core/evidence.ts';
import { deepstreamAppText, deepstreamRoot } from '../formats/deepstream-app.ts';
import { type DeepstreamVersion, deepstreamSince } from '../formats/deepstream-version.ts';
import { deepstreamLabels, type NvinferFiles, type NvinferSettings, nvinferText, nvinferYaml } from '../formats/nvinfer.ts';
import type { NetworkInfo } from '../graph/network-info.ts';

/** Lowest coverage or probability that our configs let pass. */
export const defaultThreshold = 0.2;

interface Network {
  readonly info: NetworkInfo;
  /** Channels, height, width of the network input. */
  readonly input: readonly [number, number, number];
  readonly deepstream: DeepstreamVersion;
  readonly threshold: number;
}
interface Config extends Omit<NvinferFiles, 'labels'> {
  /** What its files are told apart by: `int8`, `int8_b8`. */
  readonly suffix: string;
  readonly precision: Precision;
  readonly batch: number;
  readonly quantized?: boolean;
}
export const nvinferFile = (suffix: string): string => `nvinfer_${suffix}.txt`;
export const appFile = (suffix: string): string => `deepstream_app_${suffix}.txt`;

const sample = `file://${deepstreamRoot}/samples/streams/sample_720p.mp4`;

/**
 * labels.txt, and for each config nvinfer's own (as YAML too where the version reads it), deepstream-app over DeepStream's sample film as a benchmark and into a file; for a
 * classifier also nvinfer's config on the objects of a detector.
 */
export function deepstreamFiles({ info, input, deepstream, threshold }: Network, configs: readonly Config[]): { readonly file: string; readonly text: string }[] {
  const labels = { file: 'labels.txt', text: deepstreamLabels(info) };
  const groups = configs.flatMap(({ suffix, precision, batch, quantized = false, ...files }) => {
    const settings: NvinferSettings = { info, input, files: { labels: labels.file, ...files }, precision, batch, deepstream, threshold, quantized };
    // A classifier alone takes whole frames, so it can stand as the primary of a test app.
    const app = { deepstream, sources: [sample], primary: { config: nvinferFile(suffix) }, frame: { width: 1280, height: 720 } };
    return [
      { file: nvinferFile(suffix), text: nvinferText(settings) },
      { file: appFile(suffix), text: deepstreamAppText({ ...app, sink: 'fake', benchmark: true }) },
      { file: `deepstream_file_${suffix}.txt`, text: deepstreamAppText({ ...app, sink: 'file', tracker: info.task === 'detectnet_v2' }) },
      ...(deepstreamSince(deepstream, '6.1') ? [{ file: `nvinfer_${suffix}.yml`, text: nvinferYaml(settings) }] : []),
      ...(info.task === 'classification' ? [{ file: `nvinfer_secondary_${suffix}.txt`, text: nvinferText({ ...settings, secondary: { onId: 1 } }) }] : []),
    ];
  });
  return [labels, ...groups];
}
