import { deepstreamAppText } from '../../src/formats/deepstream-app.ts';
import { deepstreamSince } from '../../src/formats/deepstream-version.ts';
import { deepstreamLabels, deepstreamVersions, type NvinferSettings, nvinferText, nvinferYaml } from '../../src/formats/nvinfer.ts';
import type { NetworkInfo } from '../../src/graph/network-info.ts';

export const detector: NetworkInfo = {
  task: 'detectnet_v2',
  architecture: 'detectnet_v2_resnet18',
  labels: ['car', 'person', 'sign'],
  input: 'input_1',
  outputs: ['output_bbox', 'output_cov'],
  preprocess: { scale: 1 / 255, offset: [0, 0, 0], order: 'rgb', resize: 'stretch' },
};
export const classifier: NetworkInfo = {
  task: 'classification',
  architecture: 'classification_mobilenet_v1',
  labels: ['daisy', 'dandelion', 'roses', 'sunflowers', 'tulips'],
  input: 'input_1',
  outputs: ['predictions'],
  preprocess: { scale: 0.0078125, offset: [128, 128, 128], order: 'rgb', resize: 'stretch' },
};

/** Every file of deepstream-configs/: path → text. From 8.0 on FP16, as NVIDIA advises against INT8 tables there. */
export function deepstreamConfigs(): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  for (const deepstream of deepstreamVersions) {
    const precision = deepstreamSince(deepstream, '8.0') ? ('fp16' as const) : ('int8' as const);
    const common = (name: string) => ({
      deepstream,
      precision,
      batch: 1,
      files: { onnx: `models/${name}.onnx`, labels: 'labels.txt', ...(precision === 'int8' ? { calibration: `models/${name}.cache` } : {}) },
    });
    const pgie: NvinferSettings = { ...common('detectnet_v2_resnet18'), info: detector, input: [3, 384, 1248] };
    const whole: NvinferSettings = { ...common('classification_mobilenet_v1'), info: classifier, input: [3, 224, 224] };
    const objects: NvinferSettings = { ...whole, batch: 16, secondary: { onId: 1, onClasses: [0], minWidth: 32, minHeight: 32 } };
    const app = {
      deepstream,
      frame: { width: 1920, height: 1080 },
      sources: ['file:///opt/nvidia/deepstream/deepstream/samples/streams/sample_1080p_h264.mp4'],
      sink: 'file' as const,
      primary: { config: 'config_infer_primary.txt' },
    };
    const [d, c] = [`detectnet_v2/deepstream-${deepstream}`, `classification/deepstream-${deepstream}`];
    files.set(`${d}/config_infer_primary.txt`, nvinferText(pgie)).set(`${d}/labels.txt`, deepstreamLabels(detector));
    files
      .set(`${d}/app.txt`, deepstreamAppText({ ...app, tracker: true }))
      .set(`${d}/app_software_encoder.txt`, deepstreamAppText({ ...app, tracker: true, encoder: 'software' }))
      .set(`${d}/benchmark.txt`, deepstreamAppText({ ...app, benchmark: true }));
    files
      .set(`${c}/config_infer_primary.txt`, nvinferText(whole))
      .set(`${c}/config_infer_secondary.txt`, nvinferText(objects))
      .set(`${c}/labels.txt`, deepstreamLabels(classifier));
    files.set(`${c}/app.txt`, deepstreamAppText(app)).set(`${c}/benchmark.txt`, deepstreamAppText({ ...app, benchmark: true }));
    files.set(
      `${c}/app_secondary.txt`,
      deepstreamAppText({
        ...app,
        primary: { config: `../../${d}/config_infer_primary.txt` },
        tracker: true,
        secondary: { config: 'config_infer_secondary.txt', uniqueId: 2, onId: 1 },
      }),
    );
    if (deepstreamSince(deepstream, '6.1'))
      files
        .set(`${d}/config_infer_primary.yml`, nvinferYaml(pgie))
        .set(`${c}/config_infer_primary.yml`, nvinferYaml(whole))
        .set(`${c}/config_infer_secondary.yml`, nvinferYaml(objects));
  }
  return files;
}
