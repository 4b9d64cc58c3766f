import { readFile } from 'node:fs/promises';
import { EdgeError } from '../core/errors.ts';
import type { Grade, Precision } from '../core/evidence.ts';
import type { Store } from '../core/store.ts';
import type { Size } from '../data/placement.ts';
import { runApp } from '../deploy/deepstream.ts';
import type { Passport } from '../deploy/device.ts';
import { gradeOf } from '../deploy/grade.ts';
import type { Device } from '../deploy/open-device.ts';
import { type StreamTrial, searchStreams } from '../deploy/stream-search.ts';
import { refuseStale, type WorkOptions } from '../deploy/work.ts';
import { deepstreamAppText } from '../formats/deepstream-app.ts';
import type { StreamRate } from '../formats/deepstream-log.ts';
import { type DeepstreamVersion, deepstreamVersionOf } from '../formats/deepstream-version.ts';
import { deepstreamLabels, nvinferText } from '../formats/nvinfer.ts';
import { readOnnx } from '../formats/onnx.ts';
import { type NetworkInfo, networkInfoOf, sizeOfInput } from '../graph/network-info.ts';
import { enginesOf, madeBy } from './bisect/deployed.ts';

/** What is to run: the exported network's engine on a device, over sources that are taken in turn. */
export interface AppWish {
  readonly sources: readonly string[];
  readonly seconds: number;
  readonly sink: 'fake' | 'display';
  readonly precision?: Precision | undefined;
  readonly frame: Size;
  readonly threshold: number;
}
/** One run of deepstream-app with its conditions. FPS per stream, over the prints of one second each that count. */
export interface AppMeasurement {
  readonly device: string;
  readonly grade: Grade;
  readonly at: string;
  readonly deepstream: DeepstreamVersion;
  readonly precision: Precision;
  readonly batch: number;
  readonly sink: AppWish['sink'];
  readonly frame: Size;
  readonly sources: readonly string[];
  readonly streams: readonly StreamRate[];
  readonly notes: readonly string[];
}
export interface StreamSearch {
  /** Of the last good try, or of one stream where none was. */
  readonly app: AppMeasurement;
  readonly fps: number;
  readonly best: number;
  readonly limited: boolean;
  readonly trials: readonly StreamTrial[];
}

interface Deployed {
  readonly device: Device;
  readonly passport: Passport;
  readonly info: NetworkInfo;
  readonly input: readonly [number, number, number];
  readonly deepstream: DeepstreamVersion;
}
/** The engine of the project's exported network on a device, in its lowest precision or the one asked for, ready for DeepStream. */
export async function deployedFor(device: Device, store: Store, precision?: Precision): Promise<Deployed> {
  const { deepstream } = device.facts;
  if (deepstream === undefined)
    throw new EdgeError('device-refused', `"${device.name}" has no DeepStream.`, {
      hint: `Install it (https://docs.nvidia.com/metropolis/deepstream/dev-guide), then: edgeforge doctor ${device.name}`,
    });
  const graph = readOnnx(await readFile(await madeBy(store, 'export', 'fp32', 'Export first: edgeforge run export')));
  const [width, height, channels] = sizeOfInput(graph);
  const passport = (await enginesOf(store, device, precision)).at(-1) as Passport;
  refuseStale(device, [passport]);
  return { device, passport, info: networkInfoOf(graph) as NetworkInfo, input: [channels, height, width], deepstream: deepstreamVersionOf(deepstream) };
}

/** Runs so many streams through deepstream-app on the device and reads their rates. Throws the failure that its log names. */
export async function runStreams(deployed: Deployed, streams: number, wish: AppWish, options: WorkOptions = {}): Promise<AppMeasurement> {
  const { device, passport, info, input, deepstream } = deployed;
  const { precision, batch } = passport;
  const engine = passport.engine.path.startsWith('/') ? passport.engine.path : `../../${passport.engine.path}`;
  const sources = Array.from({ length: streams }, (_, i) => wish.sources[i % wish.sources.length] as string);
  const files = {
    'labels.txt': deepstreamLabels(info),
    // The engine alone: nvinfer must not build another in silence where it is gone.
    'nvinfer.txt': nvinferText({ info, input, files: { engine, labels: 'labels.txt' }, precision, batch, deepstream, threshold: wish.threshold }),
    'app.txt': deepstreamAppText({ deepstream, sources, primary: { config: 'nvinfer.txt' }, frame: wish.frame, sink: wish.sink, benchmark: true }),
  };
  const { log } = await runApp(device, { files, app: 'app.txt', seconds: wish.seconds, display: wish.sink === 'display' }, options);
  const dead = log.streams.flatMap(({ dead: is }, i) => (is ? [i] : []));
  const deadNotes = dead.map(i => `Stream ${i} (${sources[i]}) gives no frames: its source is dead.`);
  return {
    device: device.name,
    grade: gradeOf(device.facts, passport),
    at: new Date().toISOString(),
    deepstream,
    precision,
    batch,
    sink: wish.sink,
    frame: wish.frame,
    sources,
    streams: log.streams,
    notes: [...log.notes, ...deadNotes],
  };
}

/** The lowest mean rate among the streams, frames/s. */
export const slowest = ({ streams }: Pick<AppMeasurement, 'streams'>): number => Math.min(...streams.map(({ mean }) => mean));

/** The highest number of streams that each run at `fps` or more, by doubling and bisection, one run of deepstream-app each. Throws where a source is dead: its rate would end the search for nothing. */
export async function searchStreamsOn(
  deployed: Deployed,
  { fps, most }: { readonly fps: number; readonly most: number },
  wish: AppWish,
  options: WorkOptions = {},
): Promise<StreamSearch> {
  const runs = new Map<number, AppMeasurement>();
  const rate = async (streams: number): Promise<number> => {
    const run = await runStreams(deployed, streams, wish, options);
    const dead = run.streams.findIndex(each => each.dead);
    if (dead >= 0)
      throw new EdgeError('measurement-void', `Stream ${dead} (${run.sources[dead]}) gives no frames.`, { hint: 'Name sources that play: --source file:///… or rtsp://…' });
    runs.set(streams, run);
    return slowest(run);
  };
  const { best, limited, trials } = await searchStreams(rate, { fps, most });
  return { app: runs.get(Math.max(1, best)) as AppMeasurement, fps, best, limited, trials };
}
