import { chmod, cp, mkdir, readdir, rm, symlink } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import type { Digest } from '../core/fingerprint.ts';
import type { Artifact, Recipe } from '../core/recipe.ts';
import type { ActionRecord, Store } from '../core/store.ts';

/** Which artifacts people want as files, and under which names. */
export interface Published {
  readonly artifact: Artifact;
  readonly path: string;
}

/** Copies what a run made for people into its out/ folder and points `.edgeforge/out` at it. Artifacts that were not made are left out. */
export async function collectOutputs({
  recipe,
  published,
  store,
  folder,
}: {
  readonly recipe: Recipe;
  readonly published: readonly Published[];
  readonly store: Store;
  readonly folder: string;
}): Promise<string | undefined> {
  await rm(folder, { recursive: true, force: true });
  let count = 0;
  for (const { artifact, path } of published) {
    if (!recipe.nodes.includes(artifact.node)) continue;
    const digest = await latestOutput(store, artifact);
    if (digest === undefined) continue;
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await cp(store.path(digest), join(folder, path), { recursive: true, mode: 0 });
    await makeWritable(join(folder, path));
    count++;
  }
  if (count === 0) return undefined;
  const link = join(store.root, 'out');
  await rm(link, { force: true });
  await symlink(relative(dirname(link), folder), link);
  return folder;
}

/** Objects of the store are read-only and copies inherit that; but configs are there to be edited, and folders to be deleted. */
async function makeWritable(path: string): Promise<void> {
  const entries = await readdir(path, { withFileTypes: true, recursive: true }).catch(() => undefined);
  await chmod(path, entries ? 0o755 : 0o644);
  for (const entry of entries ?? []) await chmod(join(entry.parentPath, entry.name), entry.isDirectory() ? 0o755 : 0o644);
}

/** The digest of the artifact as its step made it last, where it is still in the store. */
export const latestOutput = async (store: Store, artifact: Artifact): Promise<Digest | undefined> => (await latestRecord(store, artifact.node.id))?.outputs[artifact.output];

/** What the step of this id did last, where its outputs are still in the store. */
export async function latestRecord(store: Store, stepId: string): Promise<ActionRecord | undefined> {
  const cause = await store.latest(stepId);
  const recalled = cause && (await store.recall(cause.fingerprint));
  return recalled?.status === 'present' ? recalled.record : undefined;
}
