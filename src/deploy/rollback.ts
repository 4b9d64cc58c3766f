import { EdgeError } from '../core/errors.ts';
import { installService, restartService } from './app-unit.ts';
import type { Transport } from './device.ts';
import { withDeviceLock } from './lock.ts';
import type { Device } from './open-device.ts';
import { manifestOf, type ReleaseContent, type ReleaseManifest } from './release-manifest.ts';
import { damagedFiles, listReleases, pruneReleases, releaseNamed, switchRelease, writeRelease } from './remote-releases.ts';
import { staleBecause } from './work.ts';

/** Old releases that stay on a device where nobody says otherwise. */
export const defaultKeep = 3;

/** Makes a release of this content on the device, or finds the one that has just this content; nothing becomes current by it. */
export async function makeRelease(
  device: Pick<Device, 'transport'>,
  content: ReleaseContent,
  signal?: AbortSignal,
): Promise<{ readonly manifest: ReleaseManifest; readonly made: boolean }> {
  return withDeviceLock(device.transport, 'making a release', async () => {
    const manifest = manifestOf(content);
    const there = (await listReleases(device.transport)).releases.find(release => release.content === manifest.content);
    if (there && (await damagedFiles(device.transport, there.id)).length === 0) return { manifest: there, made: false };
    await writeRelease(device.transport, content, manifest, signal);
    return { manifest, made: true };
  });
}

/** What a switch did. */
export interface Switched {
  readonly from?: string;
  readonly to: string;
  /** Releases that were too old to stay. */
  readonly removed: readonly string[];
  /** What is to be known of the application's service. */
  readonly notes: readonly string[];
}

/** Makes a release the current one and starts its service anew (`service`: installs it first), and removes releases that are too old. */
export const activateRelease = (
  device: Pick<Device, 'transport'>,
  id: string,
  { keep = defaultKeep, service = false }: { readonly keep?: number; readonly service?: boolean } = {},
): Promise<Switched> =>
  withDeviceLock(device.transport, `switching to release ${id}`, async () => {
    const from = await switchRelease(device.transport, id);
    const notes = service ? await installService(device.transport) : from === id ? [] : await restartService(device.transport);
    return { ...(from === undefined || from === id ? {} : { from }), to: id, removed: await pruneReleases(device.transport, keep), notes };
  });

/** Removes all releases but the newest `keep`, the current and the one before it; returns the ids of what went. */
export const removeOldReleases = (transport: Transport, keep: number): Promise<readonly string[]> =>
  withDeviceLock(transport, 'removing old releases', () => pruneReleases(transport, keep));

/** Why a release cannot run on the device now, in one sentence; undefined where it can: an engine that was built for another TensorRT or another device. */
export function releaseStale(manifest: ReleaseManifest, device: Pick<Device, 'facts' | 'runtime'>): string | undefined {
  for (const { file, passport } of manifest.engines) {
    const why = staleBecause(passport, device);
    if (why !== undefined) return `${file}: ${why}`;
  }
  return undefined;
}

/** Goes back to a release (default: the one before the current one) and starts the service anew, where there is one. Throws `usage` where there is none, `device-refused` where its engines are stale now, `output-missing` where its files are not whole. */
export const rollBack = (device: Device, wish?: string): Promise<Switched> =>
  withDeviceLock(device.transport, `rolling back${wish === undefined ? '' : ` to ${wish}`}`, async () => {
    const known = await listReleases(device.transport);
    const target = wish === undefined ? known.releases.find(({ id }) => id === known.previous) : releaseNamed(known, wish, device.name);
    if (!target)
      throw new EdgeError(
        'usage',
        `"${device.name}" has ${known.current === undefined ? 'no current release' : `only ever run ${known.current}`}: there is nothing to go back to.`,
        {
          hint: known.releases.length > 0 ? `Name one of: edgeforge rollback ${device.name} --list` : `Make one with: edgeforge deploy ${device.name}`,
        },
      );
    const stale = releaseStale(target, device);
    if (stale !== undefined)
      throw new EdgeError('device-refused', `Release ${target.id} cannot run on "${device.name}" any more: ${stale}.`, {
        hint: `Build it anew from the project: edgeforge deploy ${device.name}`,
      });
    const damaged = await damagedFiles(device.transport, target.id);
    if (damaged.length > 0)
      throw new EdgeError('output-missing', `Release ${target.id} on "${device.name}" is damaged: ${damaged.join(', ')}.`, {
        hint: `Make it anew: edgeforge deploy ${device.name}`,
      });
    const from = await switchRelease(device.transport, target.id);
    const notes = from === target.id ? [] : await restartService(device.transport);
    return { ...(from === undefined ? {} : { from }), to: target.id, removed: [], notes };
  });
