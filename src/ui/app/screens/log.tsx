import { Box, Text } from 'ink';
import { fitted, remembered } from '../fit.ts';
import { passesFilter } from '../fuzzy.ts';
import { glyphsOf } from '../glyphs.ts';
import type { Screen, ScreenProps } from '../screen.ts';
import { chosen, cursorOf, type LocalCommand, placeOf, type RunLine, type UiState } from '../state.ts';
import { List } from '../views/list.tsx';
import { paint, type Tone } from '../views/paint.ts';

const levels = ['all', 'commands', 'problems'] as const;
type Level = (typeof levels)[number];
const levelOf = (state: UiState): Level => levels.find(level => level === state.choices['log.level']) ?? 'all';
const shows = (level: Level, line: RunLine): boolean => level === 'all' || (level === 'commands' ? line.level === 'command' : line.level === 'warning' || line.level === 'error');

const commandLine = ({ words, at, exitCode, milliseconds }: LocalCommand): RunLine => ({
  time: at,
  step: 'this UI',
  level: 'command',
  text: `edgeforge ${words.join(' ')}${exitCode === undefined ? '' : `   # exit code ${exitCode}, ${Math.round(milliseconds ?? 0)} ms`}`,
});

/** The run's lines and the commands that this UI ran, in the order of time. */
const merged = remembered((lines: readonly RunLine[], commands: readonly LocalCommand[]): readonly RunLine[] =>
  commands.length === 0 ? lines : [...lines, ...commands.map(commandLine)].sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0)),
);
const listed = remembered((lines: readonly RunLine[], level: Level, filter: string) =>
  level === 'all' && filter === '' ? lines : lines.filter(line => shows(level, line) && passesFilter(filter, `${line.step} ${line.level} ${line.text}`)),
);
const none: readonly RunLine[] = [];
const linesOf = (state: UiState): readonly RunLine[] => listed(merged(state.watched?.lines ?? none, state.commands), levelOf(state), placeOf(state, 'log').filter);

const tones: { readonly [L in RunLine['level']]?: Tone } = { warning: 'odd', note: 'odd', error: 'bad', command: 'busy' };
const words: { readonly [L in RunLine['level']]: string } = { info: '', event: '', note: 'note: ', warning: 'warning: ', error: 'error: ', command: '' };

/** Where a command ran, before the command itself. */
const onDevice = /^\[[^\]]+\] \$ /;

function Log({ state, columns, rows }: ScreenProps) {
  const glyphs = glyphsOf(state.terminal);
  const lines = linesOf(state);
  if (!state.watched) return <Text>No run is shown. Choose one in Runs (9), or start one with r on Home ($ edgeforge run).</Text>;
  const step = Math.min(22, Math.floor(columns / 4));
  return (
    <Box flexDirection="column" width={columns}>
      <Text dimColor wrap="truncate">
        {state.watched.id}: {levelOf(state)}, {lines.length} lines; c changes what is shown, y copies a line
      </Text>
      <List
        items={lines}
        cursor={cursorOf(state, 0, 'log')}
        rows={rows - 1}
        glyphs={glyphs}
        draw={line => (
          <Text {...paint(state.terminal, tones[line.level])}>
            <Text dimColor>{line.time.slice(11, 19)}</Text> {fitted(line.step, step, glyphs.more)} {words[line.level]}
            {line.level === 'command' && !onDevice.test(line.text) ? '$ ' : ''}
            {line.text.replaceAll('\n', ' ; ')}
          </Text>
        )}
      />
    </Box>
  );
}

/** Log: what happened and the exact commands, filtered, each line copyable. */
export const logScreen: Screen = {
  name: 'log',
  key: '0',
  title: 'Log',
  about: 'The watched run line by line, with the exact commands run here and on devices.',
  view: Log,
  needs: ['runs'],
  panes: [{ name: 'lines', length: state => linesOf(state).length }],
  keys: [
    {
      key: 'c',
      help: 'all, commands only, problems only',
      action: state => ({ type: 'choose', name: 'log.level', value: levels[(levels.indexOf(levelOf(state)) + 1) % levels.length] ?? 'all' }),
      cli: state => `edgeforge watch ${state.watched?.id ?? 'RUN'} --json | jq 'select(.level == "command")'`,
    },
    {
      key: 'y',
      help: 'copy this line',
      action: state => {
        const line = chosen(linesOf(state), state, 0, 'log');
        return line ? { type: 'copy', text: line.text.replace(onDevice, '') } : { not: 'There is no line to copy.' };
      },
    },
    {
      key: 'enter',
      help: 'the whole line',
      action: state => {
        const line = chosen(linesOf(state), state, 0, 'log');
        return line
          ? { type: 'open', dialog: { kind: 'output', title: `${line.time} ${line.step} ${line.level}`, lines: line.text.split('\n'), scroll: 0 } }
          : { not: 'There is no line.' };
      },
    },
    { key: 'p', help: 'problems of this run', action: () => ({ type: 'choose', name: 'log.level', value: 'problems' }) },
  ],
};
