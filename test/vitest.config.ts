import { defineConfig } from 'vitest/config';

// Three kinds of test: pure (seconds), local (real onnxruntime, real ssh server on loopback), device (needs Debian packages or root; skips loudly).
export default defineConfig({
  root: new URL('..', import.meta.url).pathname,
  test: {
    include: ['test/**/*.test.ts', 'test/**/*.test.tsx'],
    environment: 'node',
    env: { ORT_DISABLE_TELEMETRY: '1' },
    testTimeout: 60_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
  },
});
