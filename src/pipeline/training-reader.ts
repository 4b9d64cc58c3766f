import type { StepContext } from '../core/recipe.ts';
import type { Score } from '../tasks/task.ts';
import { TensorboardLog } from '../train/tensorboard-log.ts';
import type { TrainMessage } from './jobs/train.ts';
import { epochLines, type StatusFile } from './status-file.ts';

type Surroundings = Pick<StepContext<unknown, Record<never, never>, Record<never, never>>, 'progress' | 'log' | 'note'> & {
  readonly epochs: number;
  /** Where TensorBoard's event file goes. */
  readonly folder: string;
  readonly status: StatusFile;
};

/** Turns the training process's messages into events of the run, scalars for TensorBoard and lines of status.json. */
export function trainingReader({ progress, log, note, epochs, folder, status }: Surroundings) {
  const board = new TensorboardLog(folder, new Date());
  const read = (raw: unknown) => {
    const message = raw as TrainMessage;
    drawOn(board, message);
    if (message.kind === 'note') return note(message.note);
    if (message.kind === 'log') return log('info', message.text);
    if (message.kind === 'progress') {
      const { epoch, step, steps, loss, learningRate, imagesPerSecond, etaSeconds, starved } = message.progress;
      const figures = { loss, lr: learningRate, 'img/s': imagesPerSecond, epoch, 'eta s': Math.round(etaSeconds), 'wait %': Math.round(100 * starved), MB: message.residentMB };
      return progress((epoch - 1) * steps + step, epochs * steps, figures, 'steps');
    }
    if (message.kind === 'score') return progress(message.epoch * message.steps, message.epochs * message.steps, scoreMetrics(message.score), 'steps');
    for (const line of epochLines(message.record, epochs)) status.write(line);
    const { epoch, loss, validation } = message.record;
    const scored = validation ? `${validation.metric} ${validation.value.toFixed(4)} (n ${validation.n})` : '';
    log('info', `epoch ${epoch}/${epochs}${loss === undefined ? '' : `: loss ${loss.toPrecision(4)}`}${scored === '' ? '' : `, ${scored}`}`);
  };
  return { read, settled: () => board.settled() };
}

/** The scalars of a training's message, on TensorBoard: steps under `train/` and `loss/`, epochs under `epoch/` and `validation/`. */
export function drawOn(board: TensorboardLog, message: TrainMessage): void {
  const now = new Date();
  if (message.kind === 'progress') {
    const { epoch, step, steps, loss, parts, learningRate, imagesPerSecond } = message.progress;
    const scalars = { 'train/loss': loss, 'train/learning_rate': learningRate, 'train/images_per_second': imagesPerSecond, 'train/memory_mb': message.residentMB };
    board.add((epoch - 1) * steps + step, { ...scalars, ...tagged('loss', parts) }, now);
  } else if (message.kind === 'score') board.add(message.epoch, tagged('validation', scoreMetrics(message.score)), now);
  else if (message.kind === 'epoch') board.add(message.record.epoch, { 'epoch/loss': message.record.loss, 'epoch/learning_rate': message.record.learningRate }, now);
}

const tagged = (group: string, values: Readonly<Record<string, number>>): Record<string, number> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [`${group}/${name.replace(/[^\w./-]/g, '_')}`, value]));

/** A validation as metrics of a run's events: the score under its own name, and `class/<label>` where there are few enough to draw. */
const scoreMetrics = ({ metric, value, perClass }: Score): Record<string, number> => ({
  [metric]: value,
  ...(perClass.length <= 24 ? Object.fromEntries(perClass.map(row => [`class/${row.label}`, row.value])) : {}),
});
