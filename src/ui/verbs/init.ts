import { existsSync } from 'node:fs';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import type { Command } from 'commander';
import { EdgeError } from '../../core/errors.ts';
import { inPackage, packageRoot } from '../../core/package-root.ts';
import { openProject, projectFileName } from '../../pipeline/project.ts';
import type { Cli } from '../cli.ts';
import { runAndWatch } from '../watch.ts';

/** Projects to start from; each is a folder of src/pipeline/templates. */
const templates = {
  scenes: 'synthetic road scenes, DetectNet_v2-ResNet10, an embedded device: runs anywhere as it is',
  kitti: 'your KITTI folder (images + labels), DetectNet_v2-ResNet18 with TLT’s defaults',
  photos: 'your Pascal VOC folder of photos with boxes, an ImageNet network of yours (.onnx) as the backbone',
  classification: 'your folder of class folders, an ImageNet network of yours (.onnx) as the backbone',
} as const;

/** init, demo: where a project begins. */
export function addInitVerbs(program: Command, cli: Cli): void {
  program
    .command('init [dir]')
    .description(
      `make a project; templates: ${Object.entries(templates)
        .map(([name, text]) => `${name} (${text})`)
        .join('; ')}`,
    )
    .option('--template <name>', 'which one', 'scenes')
    .action(
      cli.does(async (folder: string | undefined, { template }: { template: string }) => {
        const made = await makeProject(resolve(folder ?? '.'), template);
        cli.output.out(`Made ${join(made, projectFileName)}. Next: ${folder === undefined ? '' : `cd ${folder} && `}npx edgeforge plan, then npx edgeforge run`);
        return 0;
      }),
    );
  program
    .command('demo')
    .description('the whole job on synthetic data and embedded devices, in .demo/')
    .option('--json', 'print events as NDJSON')
    .action(
      cli.does(async ({ json }: { json?: boolean }) => {
        const folder = join(packageRoot, '.demo');
        if (!existsSync(join(folder, projectFileName))) await makeProject(folder, 'scenes');
        const project = openProject({ folder });
        const code = await runAndWatch({ project, request: { project: folder }, output: cli.output, json: json === true, detach: false });
        if (!json && code === 0)
          cli.output.out(`The project stays in ${relative(process.cwd(), folder) || '.'}: try npx edgeforge report --project .demo, or run the demo again: nothing is done twice.`);
        return code;
      }),
    );
}

async function makeProject(folder: string, template: string): Promise<string> {
  if (!Object.hasOwn(templates, template)) {
    throw new EdgeError('usage', `There is no template "${template}".`, { hint: `Choose one of: ${Object.keys(templates).join(', ')}.` });
  }
  const file = join(folder, projectFileName);
  if (existsSync(file)) throw new EdgeError('usage', `${file} exists already.`, { hint: 'Name another folder, or edit that file.', where: { file } });
  await mkdir(folder, { recursive: true });
  await cp(inPackage('src', 'pipeline', 'templates', template), folder, { recursive: true });
  const ignore = join(folder, '.gitignore');
  const ignored = await readFile(ignore, 'utf8').catch(() => '');
  if (!ignored.includes('.edgeforge')) await writeFile(ignore, `${ignored}.edgeforge/\n`);
  return folder;
}
