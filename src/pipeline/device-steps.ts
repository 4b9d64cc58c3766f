import type { DevicePool } from './device-pool.ts';
import { convertStep } from './steps/convert.ts';
import { benchmarkStep, buildStep, inferStep } from './steps/device.ts';
import { releaseStep, switchStep } from './steps/release.ts';

/** The steps that work on devices, over one pool of connections. */
export const deviceSteps = (pool: DevicePool) => ({
  build: buildStep(pool),
  convert: convertStep(pool),
  benchmark: benchmarkStep(pool),
  infer: inferStep(pool),
  release: releaseStep(pool),
  switch: switchStep(pool),
});
