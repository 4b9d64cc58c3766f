import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { Command, CommanderError } from 'commander';
import { inPackage } from '../core/package-root.ts';
import { exitCodeOf } from '../core/run.ts';
import { describeError, type Output, processOutput } from './output.ts';

/** What every verb works with. A verb resolves to its exit code. */
export interface Cli {
  readonly output: Output;
  /** Registers a verb's action; its result is the process's exit code. */
  readonly does: <A extends readonly unknown[]>(action: (...given: A) => Promise<number>) => (...given: A) => Promise<void>;
}

type AddVerbs = (program: Command, cli: Cli) => void;
/** Which file has which verbs: only the one that is asked for is loaded, so that a command starts fast; help loads all. */
const groups: readonly { readonly verbs: readonly string[]; readonly load: () => Promise<AddVerbs> }[] = [
  { verbs: ['init', 'demo'], load: async () => (await import('./verbs/init.ts')).addInitVerbs },
  { verbs: ['run', 'benchmark', 'plan', 'watch', 'runs'], load: async () => (await import('./verbs/build.ts')).addBuildVerbs },
  { verbs: ['deploy', 'rollback', 'releases'], load: async () => (await import('./verbs/deploy.ts')).addDeployVerbs },
  { verbs: ['report', 'choose', 'export', 'gc'], load: async () => (await import('./verbs/report.ts')).addReportVerbs },
  { verbs: ['data', 'training', 'pruning', 'artifacts'], load: async () => (await import('./verbs/look.ts')).addLookVerbs },
  { verbs: ['set'], load: async () => (await import('./verbs/set.ts')).addSetVerb },
  { verbs: ['device', 'doctor', 'targets'], load: async () => (await import('./verbs/device.ts')).addDeviceVerbs },
  { verbs: ['inspect', 'spec', 'scenes'], load: async () => (await import('./verbs/files.ts')).addFileVerbs },
  { verbs: ['bisect'], load: async () => (await import('./verbs/bisect.ts')).addBisectVerb },
  { verbs: ['deepstream'], load: async () => (await import('./verbs/deepstream.ts')).addDeepstreamVerbs },
  { verbs: ['detectnet_v2', 'classification'], load: async () => (await import('./verbs/tlt.ts')).addTltVerbs },
];

/** Runs one command line. Returns the exit code: 0 done, 1 failed, 2 usage, 3 device unreachable, 4 gate missed, 130 cancelled. */
export async function runCli(words: readonly string[], output: Output = processOutput()): Promise<number> {
  if (words.length === 0 && output.interactive && process.stdin.isTTY) return openUi();
  let exitCode = 0;
  const program = new Command('edgeforge')
    .description('From a dataset to a measured model on an NVIDIA edge device.')
    .version((JSON.parse(readFileSync(inPackage('package.json'), 'utf8')) as { version: string }).version)
    .showHelpAfterError('(edgeforge --help lists the verbs)')
    .exitOverride()
    .configureOutput({ writeOut: text => output.out(text.trimEnd()), writeErr: text => output.err(text.trimEnd()) });
  const cli: Cli = {
    output,
    does:
      action =>
      async (...given) => {
        exitCode = await action(...given);
      },
  };
  const asked = groups.filter(({ verbs }) => verbs.includes(words[0] ?? ''));
  for (const { load } of asked.length > 0 ? asked : groups) (await load())(program, cli);
  try {
    await program.parseAsync([...words], { from: 'user' });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    const { text, error: known } = describeError(error);
    if (words.includes('--json')) output.out(JSON.stringify({ error: known }));
    else output.err(text);
    return exitCodeOf(known.code);
  }
}

/** The interactive UI, loaded alone so that its first picture comes fast. */
async function openUi(): Promise<number> {
  // React and Ink choose by these when they are loaded: the production build, and no colours where none are wanted.
  process.env.NODE_ENV ??= 'production';
  if (process.env.NO_COLOR) process.env.FORCE_COLOR = '0';
  // Ink takes one function of es-toolkit's 400 modules, which cost a third of the time to the first picture.
  const entry = import.meta.resolve('es-toolkit/compat').replace(/dist\/compat\/index\.mjs$/, 'dist/compat/function/throttle.mjs');
  registerHooks({ resolve: (name, context, next) => next(name === 'es-toolkit/compat' ? entry : name, context) });
  const { openApp } = await import('./app/open-app.tsx');
  return openApp({ cwd: process.cwd() });
}
