import { removeService } from './app-unit.ts';
import type { Transport } from './device.ts';
import { script } from './quote.ts';
import { must, remoteUsage } from './remote-store.ts';

/** Removes everything of ours from a device, running jobs and the application's service first; returns the bytes freed. */
export async function cleanDevice(transport: Transport): Promise<number> {
  await removeService(transport);
  const before = Object.values(await remoteUsage(transport)).reduce((sum, bytes) => sum + bytes, 0);
  await must(transport, script('for p in jobs/*/child; do [ -f "$p" ] && kill -s TERM -- "-$(cat "$p")" 2>/dev/null; done; cd "$HOME" && rm -rf .edgeforge'));
  return before;
}
