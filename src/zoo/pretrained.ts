import { EdgeError } from '../core/errors.ts';

/** Where pretrained weights come from: an ONNX file, or a `.tlt`/`.etlt` of our own making (needs the key). */
export interface PretrainedSource {
  readonly kind: 'onnx' | 'tlt' | 'etlt';
  readonly path: string;
}

const ngcName = /^(?:ngc:\/\/|nvidia\/|nvstaging\/|tlt_|pretrained_)[^\s\\]*:[^\s/\\]+$/i;
const ngcUrl = /^https?:\/\/(?:[\w-]+\.)*ngc\.nvidia\.com\//i;

/**
 * What a pretrained_model_file names, judged by the name alone (nothing is read). NGC names and NVIDIA's Keras files are recognised and refused (`format-unsupported`)
 * with the way to bring such weights here; so is any other ending.
 */
export function pretrainedSource(reference: string): PretrainedSource {
  if (ngcUrl.test(reference) || ngcName.test(reference))
    throw new EdgeError(
      'format-unsupported',
      `"${reference}" is a model on NVIDIA's NGC. It is not fetched from here: it needs your NGC key and your consent to its licence, and it is a Keras file in NVIDIA's encryption.`,
      {
        hint: 'Export it to ONNX inside the TAO container (tao model detectnet_v2 export -m MODEL -k KEY -o x.onnx) and name that file, or name any ONNX classifier as the backbone.',
      },
    );
  const ending = /\.(\w+)$/.exec(reference)?.[1]?.toLowerCase();
  if (ending === 'onnx' || ending === 'tlt' || ending === 'etlt') return { kind: ending, path: reference };
  if (ending === 'hdf5' || ending === 'h5' || ending === 'ckzip')
    throw new EdgeError('format-unsupported', `"${reference}" is a Keras checkpoint (.${ending}), which is not read here.`, {
      hint: 'Convert it to ONNX where it was made (python -m tf2onnx.convert --keras MODEL --opset 13 --output x.onnx) and name that file.',
    });
  throw new EdgeError('format-unsupported', `"${reference}" has none of the endings of pretrained weights: .onnx, .tlt, .etlt.`, {
    hint: 'Name an ONNX file: pretrained_model_file: "x.onnx".',
  });
}
