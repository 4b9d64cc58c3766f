import { readFile, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { type RangeTable, rangeTableSchema } from '../../compress/calibrate.ts';
import type { ActionRecord, Store } from '../../core/store.ts';
import type { Passport } from '../../deploy/device.ts';
import { latestRecord } from '../outputs.ts';

/** A file that was made for people or devices. */
export interface ArtifactView {
  readonly name: string;
  readonly digest: string;
  readonly bytes: number;
  /** When its step last made it (ISO 8601), and which step that is. */
  readonly at: string;
  readonly step: string;
}
/** What has left the house: ranges of the last calibration and every artifact with its digest. */
export interface ExportedView {
  readonly ranges?: RangeTable;
  readonly calibratedAt?: string;
  readonly artifacts: readonly ArtifactView[];
}

const names: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  export: { fp32: 'model.onnx', fp16: 'model_fp16.onnx' },
  quantize: { onnxruntime: 'model_int8_qdq.onnx (onnxruntime)', tensorrt: 'model_qdq.onnx (TensorRT)', cache: 'calibration.cache' },
  calibrate: { ranges: 'ranges.json' },
};

/** The ranges and artifacts of the network that is deployed, as they lie in the store; an engine lies on its device, and what is known of it is its passport. */
export async function exportedView(store: Store, devices: readonly string[]): Promise<ExportedView> {
  const artifacts: ArtifactView[] = [];
  for (const [step, outputs] of Object.entries(names)) {
    const record = await latestRecord(store, step);
    for (const [output, name] of Object.entries(outputs)) {
      const digest = record?.outputs[output];
      if (record && digest) artifacts.push({ name, digest, bytes: (await stat(store.path(digest))).size, at: record.at, step });
    }
  }
  artifacts.push(...(await packaged(store)), ...(await engines(store, devices)));
  const calibrated = await latestRecord(store, 'calibrate');
  const digest = calibrated?.outputs.ranges;
  if (!calibrated || !digest) return { artifacts };
  return { ranges: rangeTableSchema.parse(JSON.parse(await readFile(store.path(digest), 'utf8'))), calibratedAt: calibrated.at, artifacts };
}

async function packaged(store: Store): Promise<ArtifactView[]> {
  const record = await latestRecord(store, 'package');
  const digest = record?.outputs.bundle;
  const tree = digest && (await store.objects.tree(digest));
  if (!record || typeof tree !== 'object') return [];
  return tree.files.map(({ path, digest: its, bytes }) => ({ name: `model/${path}`, digest: its, bytes, at: record.at, step: 'package' }));
}

/** The engines of the last builds, by their passports. */
async function engines(store: Store, devices: readonly string[]): Promise<ArtifactView[]> {
  const last = new Map<string, ActionRecord>();
  for (const record of await store.actions()) if (record.step === 'build' || record.step === 'convert') last.set(String((record.config as { engine?: string }).engine), record);
  const found = await Promise.all(
    [...last.values()].map(async (record): Promise<ArtifactView | undefined> => {
      const digest = record.outputs.engine;
      // A device's name is no identity, so no record holds it but in the engine's own name.
      const { engine: called = '' } = record.config as { engine?: string };
      const device = devices.toSorted((a, b) => b.length - a.length).find(name => called.startsWith(`${name}-`));
      if (!digest || device === undefined) return undefined;
      const text = await readFile(store.path(digest), 'utf8').catch(() => undefined);
      if (text === undefined) return undefined;
      const { engine } = JSON.parse(text) as Passport;
      return { name: `${device}: ${basename(engine.path)}`, digest: engine.digest, bytes: engine.bytes, at: record.at, step: 'build' };
    }),
  );
  return found.filter(each => each !== undefined);
}
