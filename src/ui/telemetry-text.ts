import type { TelemetrySample } from '../deploy/telemetry-sample.ts';

const percent = (value: number | undefined): string => (value === undefined ? 'not told' : `${Math.round(value)} %`);
/** Load, memory and clocks in one line. */
export const loadText = (sample: TelemetrySample): string =>
  [
    `CPU ${percent(sample.cpuPercent)}`,
    `RAM ${sample.ramUsedMB}/${sample.ramTotalMB} MB`,
    `GPU ${percent(sample.gpuPercent)}${sample.gpuMHz === undefined ? '' : ` at ${sample.gpuMHz} MHz`}`,
    `EMC ${percent(sample.emcPercent)}${sample.emcMHz === undefined ? '' : ` at ${sample.emcMHz} MHz`}`,
  ].join('  ');
/** Temperatures and power in one line; what a device does not tell is said to be missing. */
export function sensorText({ temperaturesC, railsMw }: TelemetrySample): string {
  const heat = Object.entries(temperaturesC).map(([name, value]) => `${name} ${value.toFixed(0)} °C`);
  const power = Object.entries(railsMw).map(([name, value]) => `${name} ${(value / 1000).toFixed(1)} W`);
  return `${heat.length > 0 ? heat.join(' ') : 'it tells no temperature'}  ${power.length > 0 ? power.join(' ') : 'it tells no power'}`;
}

/** A sample in one line, for a pipe. */
export const telemetryText = (sample: TelemetrySample): string =>
  `${sample.at.slice(11, 19)}  ${loadText(sample)}  ${sensorText(sample)}${sample.powerMode ? `  mode ${sample.powerMode}` : ''}`;
