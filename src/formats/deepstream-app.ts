import { EdgeError } from '../core/errors.ts';
import { type DeepstreamVersion, deepstreamSince } from './deepstream-version.ts';
import { formatIni, type Ini, type IniGroup } from './ini.ts';

/** What deepstream-app is to do. `benchmark`: nothing waits, the file loops, and nothing is shown unless the sink is a display. */
export interface DeepstreamAppSettings {
  readonly deepstream: DeepstreamVersion;
  /** file://, rtsp:// … one per stream. */
  readonly sources: readonly string[];
  readonly primary: { readonly config: string; readonly uniqueId?: number };
  readonly secondary?: { readonly config: string; readonly uniqueId: number; readonly onId: number };
  readonly frame: { readonly width: number; readonly height: number };
  readonly tracker?: boolean;
  readonly sink: 'fake' | 'file' | 'rtsp' | 'display';
  readonly outputFile?: string;
  /** Who encodes what a file or rtsp sink shows. An Orin Nano has no encoder of its own: `software`. Default hardware. */
  readonly encoder?: 'hardware' | 'software';
  readonly benchmark?: boolean;
  /** Where boxes are dumped as KITTI labels, one file per frame. */
  readonly kittiDir?: string;
}
/** Where a device has its DeepStream. */
export const deepstreamRoot = '/opt/nvidia/deepstream/deepstream';
const sinkTypes = { fake: 1, display: 2, file: 3, rtsp: 4 } as const;

/** A deepstream-app config as groups; mux batch = streams. Throws `usage` without a source. */
export function deepstreamApp(settings: DeepstreamAppSettings): Ini {
  const { sources, deepstream, primary, secondary, tracker = false, benchmark = false } = settings;
  if (sources.length === 0) throw new EdgeError('usage', 'deepstream-app needs at least one source.', { hint: 'Name a file:// or rtsp:// URI.' });
  const sink = benchmark && settings.sink !== 'display' ? 'fake' : settings.sink;
  const shown = sink !== 'fake' || !benchmark;
  const columns = Math.ceil(Math.sqrt(sources.length));
  const live = sources.some(uri => uri.startsWith('rtsp://'));
  const { width, height } = settings.frame;
  return {
    comment: `deepstream-app, DeepStream ${deepstream}, ${sources.length} stream${sources.length === 1 ? '' : 's'}${benchmark ? ', benchmark' : ''}. Run with: deepstream-app -c <this file>\nWritten by edgeforge; paths are relative to this file.`,
    groups: [
      group('application', { 'enable-perf-measurement': 1, 'perf-measurement-interval-sec': benchmark ? 1 : 5, 'gie-kitti-output-dir': settings.kittiDir }),
      group('tiled-display', { enable: shown ? 1 : 0, rows: Math.ceil(sources.length / columns), columns, width: 1280, height: 720, 'gpu-id': 0, 'nvbuf-memory-type': 0 }),
      ...sources.map(sourceGroup),
      sinkGroup(sink, settings, benchmark),
      group('osd', {
        enable: shown ? 1 : 0,
        'gpu-id': 0,
        'border-width': 2,
        'text-size': 14,
        'text-color': '1;1;1;1;',
        'text-bg-color': '0.2;0.2;0.2;1',
        font: 'Serif',
        'nvbuf-memory-type': 0,
      }),
      group('streammux', {
        'gpu-id': 0,
        'live-source': live ? 1 : 0,
        'batch-size': sources.length,
        'batched-push-timeout': 40_000,
        width,
        height,
        'enable-padding': 0,
        'nvbuf-memory-type': 0,
      }),
      group('primary-gie', { enable: 1, 'gpu-id': 0, 'gie-unique-id': primary.uniqueId ?? 1, 'nvbuf-memory-type': 0, 'config-file': primary.config }),
      ...(tracker ? [trackerGroup(deepstream)] : []),
      ...(secondary
        ? [
            group('secondary-gie0', {
              enable: 1,
              'gpu-id': 0,
              'gie-unique-id': secondary.uniqueId,
              'operate-on-gie-id': secondary.onId,
              'nvbuf-memory-type': 0,
              'config-file': secondary.config,
            }),
          ]
        : []),
      group('tests', { 'file-loop': benchmark && !live ? 1 : 0 }),
    ],
  };
}
/** The config as text. */
export const deepstreamAppText = (settings: DeepstreamAppSettings): string => formatIni(deepstreamApp(settings));

function sourceGroup(uri: string, index: number): IniGroup {
  const live = uri.startsWith('rtsp://');
  return group(`source${index}`, { enable: 1, type: live ? 4 : 3, uri, 'num-sources': 1, 'gpu-id': 0, 'cudadec-memtype': 0, latency: live ? 200 : undefined });
}

function sinkGroup(sink: keyof typeof sinkTypes, { outputFile, encoder }: DeepstreamAppSettings, benchmark: boolean): IniGroup {
  const encoded = sink === 'file' || sink === 'rtsp';
  return group('sink0', {
    enable: 1,
    type: sinkTypes[sink],
    sync: sink === 'display' && !benchmark ? 1 : 0,
    qos: benchmark ? 0 : undefined,
    'source-id': 0,
    'gpu-id': 0,
    'nvbuf-memory-type': 0,
    container: sink === 'file' ? 1 : undefined,
    codec: encoded ? 1 : undefined,
    'enc-type': encoded ? (encoder === 'software' ? 1 : 0) : undefined,
    bitrate: encoded ? 4_000_000 : undefined,
    'output-file': sink === 'file' ? (outputFile ?? 'out.mp4') : undefined,
    'rtsp-port': sink === 'rtsp' ? 8554 : undefined,
    'udp-port': sink === 'rtsp' ? 5400 : undefined,
  });
}

// One library per tracker in 5.x; from 6.0 one library whose config file chooses.
const trackerGroup = (version: DeepstreamVersion): IniGroup =>
  group('tracker', {
    enable: 1,
    'tracker-width': 640,
    'tracker-height': 384,
    'gpu-id': 0,
    ...(deepstreamSince(version, '6.0')
      ? {
          'll-lib-file': `${deepstreamRoot}/lib/libnvds_nvmultiobjecttracker.so`,
          'll-config-file': `${deepstreamRoot}/samples/configs/deepstream-app/config_tracker_IOU.yml`,
          'display-tracking-id': 1,
        }
      : {
          'll-lib-file': `${deepstreamRoot}/lib/libnvds_mot_iou.so`,
          'll-config-file': `${deepstreamRoot}/samples/configs/deepstream-app/iou_config.txt`,
          'enable-batch-process': 1,
          'display-tracking-id': 1,
        }),
  });

const group = (name: string, values: Readonly<Record<string, string | number | undefined>>): IniGroup => ({
  name,
  entries: Object.entries(values).flatMap(([key, value]) => (value === undefined ? [] : [{ key, value: String(value) }])),
});
