import { type Command, InvalidArgumentError } from 'commander';
import type { Precision } from '../../core/evidence.ts';
import { Store } from '../../core/store.ts';
import { storeRoot } from '../../core/store-root.ts';
import type { Size } from '../../data/placement.ts';
import { deepstreamRoot } from '../../formats/deepstream-app.ts';
import { defaultThreshold } from '../../pipeline/deepstream-files.ts';
import { type AppMeasurement, type AppWish, deployedFor, runStreams, type StreamSearch, searchStreamsOn, slowest } from '../../pipeline/deepstream-run.ts';
import { DevicePool } from '../../pipeline/device-pool.ts';
import { openProject } from '../../pipeline/project.ts';
import type { Cli } from '../cli.ts';
import { interrupted } from '../interrupted.ts';
import { table } from '../output.ts';
import { countOf, precisionOf, sizeOf } from './option-values.ts';

interface AppOptions {
  readonly project?: string;
  readonly streams: number;
  readonly seconds: number;
  readonly sink: AppWish['sink'];
  readonly source: readonly string[];
  readonly precision?: Precision;
  readonly frame: Size;
  readonly searchStreams?: number;
  readonly most: number;
  readonly json?: boolean;
}
const sample = `file://${deepstreamRoot}/samples/streams/sample_1080p_h264.mp4`;

/** deepstream run: the exported network in deepstream-app on a device, FPS per stream. */
export function addAppVerb(deepstream: Command, cli: Cli): void {
  deepstream
    .command('run <device>')
    .description('run deepstream-app with the deployed engine and measure FPS per stream, or how many streams reach a rate; exit code 1 where a source is dead')
    .option('--project <dir>', 'the project (default: the nearest edgeforge.yaml upwards)')
    .option('--streams <n>', 'how many', countOf, 1)
    .option('--seconds <s>', 'how long, from the first frames on', countOf, 20)
    .option('--sink <sink>', 'fake: nothing is shown; display: the screen of the device', sinkOf, 'fake')
    .option('--source <uri>', 'file:// or rtsp:// as the device sees it; repeat it for several, taken in turn', (uri: string, before: readonly string[]) => [...before, uri], [])
    .option('--precision <precision>', 'which engine (default: the lowest precision that is deployed)', precisionOf)
    .option('--frame <size>', 'the muxer’s width and height', sizeOf, { width: 1920, height: 1080 })
    .option('--search-streams <fps>', 'find the highest number of streams that each reach this rate, such as 30', countOf)
    .option('--most <n>', 'where the search ends', countOf, 64)
    .option('--json', 'print JSON')
    .action(cli.does(async (device: string, options: AppOptions) => runApp(device, options, cli)));
}

async function runApp(name: string, options: AppOptions, { output }: Cli): Promise<number> {
  const project = openProject({ folder: options.project });
  await using pool = new DevicePool(project);
  const signal = interrupted();
  const { seconds, sink, precision, frame, streams, searchStreams: fps, most } = options;
  const deployed = await deployedFor(await pool.open(name, signal), new Store(storeRoot(project.folder)), precision);
  const wish = { sources: options.source.length > 0 ? options.source : [sample], seconds, sink, precision, frame, threshold: defaultThreshold };
  const quiet = options.json === true || !output.interactive;
  const work = { signal, ...(quiet ? {} : { onProgress: ({ message }: { readonly message: string }) => output.err(message) }) };
  if (fps === undefined) {
    const run = await runStreams(deployed, streams, wish, work);
    output.out(options.json ? JSON.stringify(run, null, 1) : textOf(run));
    return run.streams.some(({ dead }) => dead) ? 1 : 0;
  }
  const found = await searchStreamsOn(deployed, { fps, most }, wish, work);
  output.out(options.json ? JSON.stringify(found, null, 1) : searchText(found));
  return found.best === 0 ? 1 : 0;
}

function textOf(run: AppMeasurement): string {
  const { device, deepstream, precision, batch, streams, sink, frame, grade, notes } = run;
  const rows = streams.map(({ mean, min, sd, n, dead }, i) => [
    `stream ${i}`,
    dead ? 'dead' : `${mean.toFixed(2)} FPS mean`,
    `${min.toFixed(2)} min`,
    `sd ${sd.toFixed(2)}`,
    `n ${n} prints of 1 s`,
  ]);
  return [
    `${device}: DeepStream ${deepstream}, ${precision} engine of batch ${batch}, ${streams.length} stream${streams.length === 1 ? '' : 's'} at ${frame.width}x${frame.height}, ${sink} sink: ${grade}.`,
    table(rows),
    `slowest stream: ${slowest(run).toFixed(2)} FPS; all together: ${streams.reduce((sum, { mean }) => sum + mean, 0).toFixed(2)}`,
    ...notes.map(note => `note: ${note}`),
  ].join('\n');
}

function searchText({ app, fps, best, limited, trials }: StreamSearch): string {
  return [
    table(trials.map(trial => [trial.good ? '✔' : '✖', `${trial.streams} streams`, `slowest ${trial.fps.toFixed(2)} FPS`])),
    textOf(app),
    best === 0 ? `Not even one stream reaches ${fps} FPS.` : `${best} streams at ${fps} FPS or more${limited ? ' (the search ended there: --most)' : ''}, ${app.grade}.`,
  ].join('\n');
}

function sinkOf(text: string): AppWish['sink'] {
  if (text === 'fake' || text === 'display') return text;
  throw new InvalidArgumentError('fake or display.');
}
