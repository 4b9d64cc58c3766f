import { z } from 'zod';

/** What a device says of itself at one moment. What it cannot tell is absent: a plain Linux machine has no rails, a container no thermal zones. */
export const telemetrySchema = z.object({
  /** ISO 8601, this machine's clock. */
  at: z.string(),
  cpuPercent: z.number().optional(),
  ramUsedMB: z.number(),
  ramTotalMB: z.number(),
  gpuPercent: z.number().optional(),
  gpuMHz: z.number().optional(),
  /** Load of the memory controller (Jetson). */
  emcPercent: z.number().optional(),
  emcMHz: z.number().optional(),
  /** °C by sensor. */
  temperaturesC: z.record(z.string(), z.number()),
  /** Milliwatts by rail (Jetson) or for the whole card. */
  railsMw: z.record(z.string(), z.number()),
  powerMode: z.string().optional(),
});
export type TelemetrySample = z.infer<typeof telemetrySchema>;
