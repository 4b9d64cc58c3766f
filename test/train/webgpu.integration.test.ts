import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

// onnxruntime's WebGPU is Dawn over Vulkan. Debian's chromium brings a Vulkan loader and SwiftShader, which renders on the processor: slow, and the real thing.
const chromium = '/usr/lib/chromium';
const driver = join(chromium, 'vk_swiftshader_icd.json');
const present = existsSync(driver) && existsSync(join(chromium, 'libvulkan.so.1'));
if (!present) console.warn(`SKIPPED: training on WebGPU, because ${driver} is not there. Install it with: apt-get install chromium`);

interface Line {
  readonly name?: string;
  readonly selfTest?: number;
  readonly curve?: readonly number[];
  readonly losses?: number;
  readonly state?: number;
  readonly gpu?: number;
  readonly elsewhere?: readonly string[];
}

it.skipIf(!present)('training on WebGPU follows the CPU’s curve and leaves no operator to the processor', { timeout: 1_200_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'edgeforge-webgpu-'));
  try {
    const printed = execFileSync(process.execPath, [fileURLToPath(new URL('_webgpu-child.ts', import.meta.url)), folder], {
      env: { ...process.env, LD_LIBRARY_PATH: chromium, VK_ICD_FILENAMES: driver },
      encoding: 'utf8',
    });
    const [self, ...cases] = printed
      .trim()
      .split('\n')
      .map(line => JSON.parse(line) as Line);
    expect(self?.selfTest).toBeLessThan(1e-4);
    expect(cases).toHaveLength(2);
    for (const { name, curve = [], losses, state, gpu, elsewhere } of cases) {
      console.info(`${name} on WebGPU (SwiftShader): losses within ${losses?.toExponential(1)}, state within ${state?.toExponential(1)}, ${gpu} kernels on the GPU`);
      expect(curve.at(-1), name).toBeLessThan(curve[0] as number);
      expect(losses, name).toBeLessThan(1e-4);
      expect(elsewhere, name).toEqual([]);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
