import type { Command } from 'commander';
import { EdgeError } from '../../core/errors.ts';
import { setProjectValues } from '../../pipeline/edit-project.ts';
import { openProject } from '../../pipeline/project.ts';
import type { Cli } from '../cli.ts';

/** set: changes settings of edgeforge.yaml in place. */
export function addSetVerb(program: Command, cli: Cli): void {
  program
    .command('set <setting=value...>')
    .description('change settings of edgeforge.yaml, comments kept: prune.keepMacs=0.4 sets one, prune.threshold= removes one; all or none')
    .option('--project <dir>', 'the project (default: the nearest edgeforge.yaml upwards)')
    .action(
      cli.does(async (assignments: string[], { project }: { readonly project?: string }) => {
        const { folder } = openProject({ folder: project });
        await setProjectValues(folder, assignments.map(parsed));
        cli.output.out(`edgeforge.yaml: ${assignments.map(text => (text.endsWith('=') ? `${text.slice(0, -1)} is gone` : text.replace('=', ': '))).join(', ')}`);
        return 0;
      }),
    );
}

function parsed(text: string): { readonly path: readonly string[]; readonly value: string | number | boolean | undefined } {
  const [, name, value] = /^([A-Za-z][\w.-]*)=(.*)$/s.exec(text) ?? [];
  if (name === undefined || value === undefined) throw new EdgeError('usage', `"${text}" is no setting.`, { hint: 'Write setting=value, for example prune.keepMacs=0.4.' });
  const path = name.split('.');
  if (value === '') return { path, value: undefined };
  return { path, value: value === 'true' || value === 'false' ? value === 'true' : /^-?\d+(\.\d+)?(e-?\d+)?$/i.test(value) ? Number(value) : value };
}
