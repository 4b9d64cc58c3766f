import { type DeepstreamVersion, deepstreamSince } from '../../../src/formats/deepstream-version.ts';

// Keys of deepstream-app's groups, from deepstream_config_file_parser.c of 5.0 to 6.3 and 9.1: only those that we have met; `since:` and `until:` mark what came and went.
const table: Readonly<Record<string, string>> = {
  application: 'enable-perf-measurement perf-measurement-interval-sec gie-kitti-output-dir kitti-track-output-dir',
  'tiled-display': 'enable rows columns width height gpu-id nvbuf-memory-type compute-hw',
  source:
    'enable type uri num-sources gpu-id cudadec-memtype latency drop-frame-interval num-decode-surfaces num-extra-surfaces camera-width camera-height camera-fps-n camera-fps-d camera-csi-sensor-id camera-v4l2-dev-node select-rtp-protocol rtsp-reconnect-interval-sec intra-decode-enable',
  sink: 'enable type sync qos source-id codec enc-type container bitrate profile iframeinterval output-file rtsp-port udp-port width height gpu-id nvbuf-memory-type overlay-id..6.1.1 display-id..6.1.1 offset-x..6.1.1 offset-y..6.1.1',
  osd: 'enable process-mode border-width text-size text-color text-bg-color font show-clock clock-x-offset clock-y-offset clock-text-size clock-color gpu-id nvbuf-memory-type display-text display-bbox display-mask',
  streammux:
    'batch-size batched-push-timeout width height live-source enable-padding gpu-id nvbuf-memory-type sync-inputs max-latency attach-sys-ts-as-ntp buffer-pool-size config-file frame-duration',
  'primary-gie':
    'enable plugin-type config-file model-engine-file labelfile-path batch-size interval gie-unique-id operate-on-gie-id operate-on-class-ids bbox-border-color0 bbox-border-color1 bbox-border-color2 bbox-border-color3 input-tensor-meta gpu-id nvbuf-memory-type',
  tracker: 'enable tracker-width tracker-height ll-lib-file ll-config-file gpu-id display-tracking-id enable-batch-process..6.1.1 enable-past-frame..6.1.1 compute-hw',
  tests: 'file-loop pipeline-recreate-sec',
};
const groupOf = (name: string): string | undefined =>
  /^source\d+$/.test(name) ? 'source' : /^sink\d+$/.test(name) ? 'sink' : /^secondary-gie\d+$/.test(name) ? 'primary-gie' : Object.hasOwn(table, name) ? name : undefined;

/** Whether deepstream-app of that version reads a key of a group; a group it does not know has none. */
export function knowsAppKey(version: DeepstreamVersion, group: string, key: string): boolean {
  const keys = table[groupOf(group) ?? '']?.split(' ') ?? [];
  return keys.some(each => {
    const [name, until] = each.split('..') as [string, DeepstreamVersion | undefined];
    return name === key && (until === undefined || deepstreamSince(until, version));
  });
}
