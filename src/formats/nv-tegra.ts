import { EdgeError } from '../core/errors.ts';

/** Linux for Tegra, as `R36, REVISION: 4.3` says it. */
export interface L4t {
  readonly release: number;
  readonly revision: string;
}

/** Reads /etc/nv_tegra_release. Throws `file-corrupt` where its line is not there. */
export function parseNvTegraRelease(text: string): L4t {
  const [, release, revision] = /\bR(\d{1,3}) {0,4}\(release\)[^\n]{0,200}?\bREVISION: {0,4}(\d{1,3}(?:\.\d{1,3}){0,3})/.exec(text.slice(0, 65_536)) ?? [];
  if (release === undefined || revision === undefined) {
    throw new EdgeError('file-corrupt', `No L4T release in ${JSON.stringify(text.slice(0, 80))}.`, {
      hint: 'Look at /etc/nv_tegra_release on the device; where it is absent, nvidia-l4t-core names the release: dpkg-query -W nvidia-l4t-core',
    });
  }
  return { release: Number(release), revision };
}

/** L4T from the Debian version of nvidia-l4t-core (`36.4.7-20250918154033`). Undefined where it is none. */
export function l4tOfDebianVersion(text: string): L4t | undefined {
  const [, release, revision] = /(?:^|\s)(\d{2})\.(\d{1,2}(?:\.\d{1,2}){0,2})(?:-|\s|$)/.exec(text.slice(0, 4096)) ?? [];
  return release === undefined || revision === undefined ? undefined : { release: Number(release), revision };
}
