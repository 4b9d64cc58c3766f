import { asEdgeError } from '../../../src/core/errors.ts';
import { digestOfFile } from '../../../src/core/fingerprint.ts';
import { openDevice } from '../../../src/deploy/open-device.ts';
import type { DeviceDefinition } from '../../../src/deploy/registry.ts';
import { buildSmall } from '../replay/model.ts';

// Another computer at the same device, as a process in a namespace of its own: does one thing and prints its value or its error.
const words = JSON.parse(process.argv[2]!) as { push?: string; engine?: string; definition: DeviceDefinition; config: string; folder: string };
async function work(): Promise<unknown> {
  await using device = await openDevice({ name: 'bench', definition: words.definition, project: words.folder, config: words.config });
  if (words.push !== undefined) return (await device.transport.push(words.push, await digestOfFile(words.push))).report.sent;
  return (await buildSmall(device, words.folder, { engine: words.engine! })).engine.digest;
}
const said = await work().then(
  value => ({ value }),
  (error: unknown) => ({ error: asEdgeError(error).toJSON() }),
);
process.stdout.write(JSON.stringify(said));
