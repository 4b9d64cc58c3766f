import type { UserAction } from './action.ts';
import type { Choice, Dialog } from './dialog.ts';

/** A question before something is destroyed: what will be lost, the command that does the same, and staying as the first answer. */
export function sure(question: { readonly title: string; readonly lost: readonly string[]; readonly cli: string; readonly yes: string; readonly does: UserAction }): UserAction {
  const { title, lost, cli, yes, does } = question;
  const choices: Choice[] = [
    { key: 'n', label: 'no, leave it as it is' },
    { key: 'y', label: yes, does },
  ];
  return { type: 'open', dialog: { kind: 'ask', title, lost, cli, choices, cursor: 0 } };
}

/** The question on leaving while a run is under way: the run does not need this screen. */
export const leaving = (run: string): Dialog => ({
  kind: 'ask',
  title: `Run ${run} is under way. It does not need this screen.`,
  lost: [],
  cli: `edgeforge watch ${run}`,
  cursor: 0,
  choices: [
    { key: 'd', label: 'detach: leave; the run goes on (come back with: edgeforge)', does: { type: 'detach' } },
    { key: 's', label: 'stop the run: finished steps and checkpoints are kept', does: { type: 'stop-run' } },
    { key: 'esc', label: 'stay' },
  ],
});

const templates = [
  ['scenes', 'synthetic road scenes, DetectNet_v2-ResNet10, embedded devices: runs anywhere as it is'],
  ['kitti', 'your KITTI folder, DetectNet_v2-ResNet18 with TLT’s defaults'],
  ['classification', 'your folder of class folders, an ImageNet network of yours as the backbone'],
] as const;

/** A new project: a template, then a folder; `edgeforge init` makes it and it is opened. */
export const newProject: UserAction = {
  type: 'open',
  dialog: {
    kind: 'pick',
    title: 'New project: from which template?',
    cursor: 0,
    choices: templates.map(([template, about], index) => ({
      key: String(index + 1),
      label: `${template}: ${about}`,
      does: {
        type: 'open',
        dialog: {
          kind: 'prompt',
          title: `New project from ${template}: in which folder?`,
          hint: `$ edgeforge init FOLDER --template ${template}   (. is this folder; enter makes it)`,
          text: template,
          does: { type: 'command', words: ['init', '{text}', '--template', template], quiet: true, done: { type: 'open-project', folder: '{text}' } },
        },
      },
    })),
  },
};
