import { addDevice } from '../../src/deploy/registry.ts';
import { replay } from '../deploy/replay/board.ts';
import { replayed } from '../deploy/replay/boards.ts';
import { TinyProject } from './_tiny-project.ts';

type Board = Awaited<ReturnType<typeof replay>>;
/** Which recorded board plays a device, and how. */
type Cast = { readonly board: keyof typeof replayed } & Parameters<typeof replay>[1];

/** A tiny project without pruning whose devices are replayed boards that a registry of its own knows; `more` are further lines of its devices. */
export async function replayedProject(cast: Readonly<Record<string, Cast>>, more: readonly string[] = []) {
  await using stack = new AsyncDisposableStack();
  const project = stack.use(new TinyProject({ devices: false }));
  const config = project.path('config');
  process.env.EDGEFORGE_CONFIG = config;
  stack.defer(() => void delete process.env.EDGEFORGE_CONFIG);
  const boards = new Map<string, Board>();
  const lines: string[] = [];
  for (const [name, { board: key, ...how }] of Object.entries(cast)) {
    const board = stack.use(await replay(replayed[key], how));
    boards.set(name, board);
    await addDevice(name, board.definition.ssh, { config, identityFile: board.definition.identityFile });
    lines.push(`  ${name}: { ssh: "${board.definition.ssh}", identityFile: "${board.definition.identityFile}" }`);
  }
  project.edit('edgeforge.yaml', text =>
    `${text}devices:\n${[...lines, ...more].join('\n')}\n`
      .replace(/^prune:.*\n/m, '')
      .replace(/^retrain:.*\n/m, '')
      .replace('images: 8 }', 'images: 4 }'),
  );
  const kept = stack.move();
  return { project, boards, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}
