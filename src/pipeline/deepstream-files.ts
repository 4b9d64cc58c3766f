import type { Precision } from '../core/evidence.ts';
import { deepstreamAppText } from '../formats/deepstream-app.ts';
import type { DeepstreamVersion } from '../formats/deepstream-version.ts';
import { deepstreamLabels, type NvinferFiles, nvinferText } from '../formats/nvinfer.ts';
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

/** labels.txt, and for each config nvinfer's own and one of deepstream-app that runs it over DeepStream's sample film. */
export function deepstreamFiles({ info, input, deepstream, threshold }: Network, configs: readonly Config[]): { readonly file: string; readonly text: string }[] {
  const labels = { file: 'labels.txt', text: deepstreamLabels(info) };
  const pairs = configs.flatMap(({ suffix, precision, batch, quantized = false, ...files }) => [
    {
      file: nvinferFile(suffix),
      text: nvinferText({ info, input, files: { labels: labels.file, ...files }, precision, batch, deepstream, threshold, quantized }),
    },
    {
      file: appFile(suffix),
      // A classifier alone takes whole frames, so it can stand as the primary of a test app.
      text: deepstreamAppText({
        deepstream,
        sources: ['file:///opt/nvidia/deepstream/deepstream/samples/streams/sample_720p.mp4'],
        primary: { config: nvinferFile(suffix) },
        frame: { width: 1280, height: 720 },
        sink: 'fake',
        benchmark: true,
      }),
    },
  ]);
  return [labels, ...pairs];
}
