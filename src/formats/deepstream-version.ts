/** DeepStream releases we write configs for, oldest first. */
export const deepstreamVersions = ['5.0', '5.1', '6.0', '6.0.1', '6.1', '6.1.1', '6.2', '6.3', '6.4', '7.0', '7.1', '8.0', '9.0', '9.1'] as const;
export type DeepstreamVersion = (typeof deepstreamVersions)[number];

/** Whether `version` is `since` or later. */
export const deepstreamSince = (version: DeepstreamVersion, since: DeepstreamVersion): boolean => deepstreamVersions.indexOf(version) >= deepstreamVersions.indexOf(since);

/** The release that a device's own version (`6.0.1`, `7.1.0`) counts as: itself, or the newest we know that is not later. */
export function deepstreamVersionOf(text: string): DeepstreamVersion {
  const parts = (version: string) => version.split('.').map(Number);
  const order = (a: readonly number[], b: readonly number[]) => (a[0] ?? 0) - (b[0] ?? 0) || (a[1] ?? 0) - (b[1] ?? 0) || (a[2] ?? 0) - (b[2] ?? 0);
  return deepstreamVersions.findLast(version => order(parts(version), parts(text)) <= 0) ?? '5.0';
}

type Span = readonly [since: DeepstreamVersion, until?: DeepstreamVersion];
const always = (...keys: string[]) => keys.map(key => [key, ['5.0']] as const);
const since = (version: DeepstreamVersion, ...keys: string[]) => keys.map(key => [key, [version]] as const);

/** nvinfer's [property] keys by version. 6.4 to 8.0 are closed: 6.3 and 9.1 agree but for the additions, so 6.3's set is taken. */
export const nvinferPropertyKeys: ReadonlyMap<string, Span> = new Map<string, Span>([
  ...always(
    'batch-size',
    'classifier-async-mode',
    'classifier-threshold',
    'cluster-mode',
    'custom-lib-path',
    'custom-network-config',
    'enable-dbscan',
    'enable-dla',
    'engine-create-func-name',
  ),
  ...always('filter-out-class-ids', 'force-implicit-batch-dim', 'gie-unique-id', 'gpu-id', 'infer-dims', 'input-dims', 'input-object-max-height', 'input-object-max-width'),
  ...always(
    'input-object-min-height',
    'input-object-min-width',
    'int8-calib-file',
    'interval',
    'is-classifier',
    'labelfile-path',
    'layer-device-precision',
    'maintain-aspect-ratio',
    'mean-file',
  ),
  ...always(
    'model-color-format',
    'model-engine-file',
    'model-file',
    'net-scale-factor',
    'network-mode',
    'network-type',
    'num-detected-classes',
    'offsets',
    'onnx-file',
    'operate-on-class-ids',
  ),
  ...always(
    'operate-on-gie-id',
    'output-blob-names',
    'output-instance-mask',
    'output-io-formats',
    'output-tensor-meta',
    'parse-bbox-func-name',
    'parse-bbox-instance-mask-func-name',
  ),
  ...always(
    'parse-classifier-func-name',
    'process-mode',
    'proto-file',
    'scaling-compute-hw',
    'scaling-filter',
    'secondary-reinfer-interval',
    'segmentation-threshold',
    'tlt-encoded-model',
  ),
  ...always('tlt-model-key', 'uff-file', 'uff-input-blob-name', 'uff-input-dims', 'uff-input-order', 'use-dla-core', 'workspace-size', 'alignment-type', 'alignment-pics-path'),
  ...since('5.1', 'segmentation-output-order'),
  ...since('6.0', 'classifier-type', 'input-tensor-from-meta', 'network-input-order', 'symmetric-padding', 'tensor-meta-pool-size'),
  ...since('6.1.1', 'disable-output-host-copy'),
  ...since('6.2', 'crop-objects-to-roi-boundary'),
  ...since('6.3', 'auto-inc-mem', 'max-gpu-mem-per'),
  ...since('9.0', 'dump-input-tensor', 'dump-output-tensor', 'dynamic-properties', 'ip-tensor-file', 'op-tensor-files', 'overwrite-input-tensor', 'overwrite-output-tensor'),
  ...since('9.0', 'parse-segmentation-func-name', 'raw-output-file-write', 'stabilize-buffer-count', 'strongly-typed', 'warmup-engine'),
]);
/** Keys of [class-attrs-all] and [class-attrs-N]; note the camel case of minBoxes. `threshold` is the old name of pre-cluster-threshold. */
export const nvinferClassKeys: ReadonlySet<string> = new Set(
  'threshold pre-cluster-threshold post-cluster-threshold nms-iou-threshold topk eps group-threshold minBoxes dbscan-min-score roi-top-offset roi-bottom-offset detected-min-w detected-min-h detected-max-w detected-max-h border-color bg-color'.split(
    ' ',
  ),
);
/** Whether nvinfer of that version reads the key in [property]. */
export function knowsPropertyKey(version: DeepstreamVersion, key: string): boolean {
  const span = nvinferPropertyKeys.get(key);
  return span !== undefined && deepstreamSince(version, span[0]) && (span[1] === undefined || deepstreamSince(span[1], version));
}
