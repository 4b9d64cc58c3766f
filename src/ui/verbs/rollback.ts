import { openDevice } from '../../deploy/open-device.ts';
import type { DeviceDefinition } from '../../deploy/registry.ts';
import { listReleases } from '../../deploy/remote-releases.ts';
import { releaseStale, rollBack } from '../../deploy/rollback.ts';
import { type Output, table } from '../output.ts';

interface Wish {
  readonly name: string;
  readonly definition: DeviceDefinition;
  readonly folder: string;
  readonly release?: string;
  readonly json: boolean;
}

/** Lists the releases of a device, newest first: which is current, which was before, which could not run any more. */
export async function list({ name, definition, folder, json }: Wish, { out }: Output): Promise<number> {
  await using device = await openDevice({ name, definition, project: folder });
  const known = await listReleases(device.transport);
  const rows = known.releases.map(release => {
    const stale = releaseStale(release, device);
    const place = release.id === known.current ? 'current' : release.id === known.previous ? 'previous' : '';
    return { ...release, place, ...(stale === undefined ? {} : { stale }) };
  });
  if (json) {
    out(JSON.stringify({ device: name, current: known.current, previous: known.previous, releases: rows, broken: known.broken }));
    return 0;
  }
  if (rows.length === 0) out(`"${name}" has no release yet. Make one with: edgeforge deploy ${name}`);
  else
    out(
      table([
        ['', 'release', 'project', 'made', 'by', 'runs', 'gate', 'report', ''],
        ...rows.map(({ place, id, project, at, who, precision, gate, report, stale }) => [
          place,
          id,
          oneLine(project),
          at.slice(0, 16).replace('T', ' '),
          oneLine(who),
          precision,
          gate,
          report?.slice(0, 12) ?? '',
          stale === undefined ? '' : `stale: ${stale}`,
        ]),
      ]),
    );
  for (const folder of known.broken) out(`${oneLine(folder)} is no whole release; the next deploy leaves it alone, edgeforge device clean ${name} removes it`);
  return 0;
}

/** Makes an earlier release current and says from which to which. */
export async function rollback({ name, definition, folder, release, json }: Wish, { out }: Output): Promise<number> {
  await using device = await openDevice({ name, definition, project: folder });
  const { from, to, notes } = await rollBack(device, release);
  if (json) out(JSON.stringify({ device: name, from, to, notes }));
  else {
    out(from === to ? `${to} is current on ${name} already.` : `${name} runs ${to} now${from === undefined ? '' : `, was ${from}`}.`);
    for (const note of notes) out(note);
    if (from !== undefined && from !== to) out(`Back again: edgeforge rollback ${name}`);
  }
  return 0;
}

/** What a device or another user wrote, as words that cannot steer a terminal. */
const oneLine = (text: string): string => text.replace(/\p{C}+/gu, ' ').slice(0, 60);
