import type { Protocol } from '../core/evidence.ts';
import type { EngineSpec, Passport } from './device.ts';
import type { Device } from './open-device.ts';
import { script } from './quote.ts';
import { benchEngines, buildEngine, type WorkOptions } from './work.ts';

/** Which of several builds is kept: the one whose median latency is the (lower) median of all. */
export function medianBuild(p50Ms: readonly number[]): number {
  const order = p50Ms.map((_, index) => index).sort((a, b) => p50Ms[a]! - p50Ms[b]!);
  return order[Math.floor((order.length - 1) / 2)]!;
}

const figure = (value: number): string => String(Number(value.toPrecision(4)));

/**
 * Builds the same engine `count` times, since TensorRT chooses its tactics by timing and no two builds need be equal, measures all of them, and keeps the median one.
 * Its passport says how far the builds lie apart.
 */
export async function buildMedianEngine(
  device: Device,
  spec: EngineSpec,
  { count, protocol }: { readonly count: number; readonly protocol: Protocol },
  options: WorkOptions = {},
): Promise<Passport> {
  const passports: Passport[] = [];
  for (let i = 1; i <= count; i++) {
    const { onProgress } = options;
    const told = onProgress && { onProgress: (progress: Parameters<typeof onProgress>[0]) => onProgress({ ...progress, message: `build ${i} of ${count}: ${progress.message}` }) };
    passports.push(await buildEngine(device, { ...spec, engine: `${spec.engine}.build-${i}` }, { ...options, ...told }));
  }
  const measured = await benchEngines(
    device,
    passports.map(passport => ({ passport, protocol: { ...protocol, batch: spec.batch } })),
    options,
  );
  const p50Ms = measured.map(({ latencyMs }) => latencyMs.p50);
  const kept = medianBuild(p50Ms);
  const whole = passports[kept]!;
  const text = 'kept=$1; name=$2; shift 2; mv "$kept" "$name" && mv "$kept.log" "$name.log"; for f in "$@"; do [ "$f" = "$kept" ] || rm -f "$f" "$f.log"; done';
  await device.transport.exec(script(text, whole.engine.path, spec.engine, ...passports.map(({ engine }) => engine.path)));
  const [low, high] = [Math.min(...p50Ms), Math.max(...p50Ms)];
  return {
    ...whole,
    engine: { ...whole.engine, path: spec.engine },
    builds: { p50Ms, kept },
    notes: [
      ...whole.notes,
      `${count} builds: median latency ${figure(low)} to ${figure(high)} ms (${figure((100 * (high - low)) / low)} % apart), build ${kept + 1} of ${figure(p50Ms[kept]!)} ms is kept`,
    ],
  };
}
