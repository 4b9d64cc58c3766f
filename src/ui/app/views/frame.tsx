import { basename } from 'node:path';
import { Box, Text } from 'ink';
import { stepCount } from '../../../core/run-state.ts';
import { durationText } from '../../output.ts';
import { glyphsOf } from '../glyphs.ts';
import { screenNamed, screens } from '../screens.ts';
import { isLive, placeOf, type UiState } from '../state.ts';
import { DialogView } from './dialogs.tsx';
import { paint } from './paint.ts';

/** The whole picture: tabs, the run's line, the screen (or the dialog over it), what was said, the keys. */
export function Frame({ state }: { readonly state: UiState }) {
  const { columns, rows } = state.terminal;
  const screen = screenNamed(state.screen);
  const body = Math.max(3, rows - 4);
  const View = screen.view;
  return (
    <Box flexDirection="column" width={columns} height={rows}>
      <Tabs state={state} />
      <Heading state={state} />
      <Box flexDirection="column" height={body} overflow="hidden">
        {state.dialog ? <DialogView state={state} dialog={state.dialog} columns={columns} rows={body} /> : <View state={state} columns={columns} rows={body} />}
      </Box>
      <Said state={state} />
      <Keys state={state} />
    </Box>
  );
}

/** Digits and titles; where they do not fit, digits and this screen's title. The screen shown stands in brackets. */
function Tabs({ state }: { readonly state: UiState }) {
  const wide = screens.reduce((sum, { title }) => sum + title.length + 4, 0) <= state.terminal.columns;
  return (
    <Text wrap="truncate">
      {screens.map(({ name, key, title }) =>
        name === state.screen ? (
          <Text key={name} bold inverse={state.terminal.colour !== 'none'}>
            [{key} {title}]
          </Text>
        ) : (
          <Text key={name} dimColor>
            {' '}
            {key}
            {wide ? ` ${title}` : ''}{' '}
          </Text>
        ),
      )}
    </Text>
  );
}

function Heading({ state }: { readonly state: UiState }) {
  const { watched, project, nowMs } = state;
  const glyphs = glyphsOf(state.terminal);
  const name = project === undefined ? 'no project' : basename(project);
  if (!watched) return <Text dimColor>{name}</Text>;
  const { startedAt, at, result } = watched.state;
  const { ended, total } = stepCount(watched.state);
  const endMs = isLive(state) ? nowMs : Date.parse(at ?? startedAt ?? '');
  const how = watched.lost ? `${glyphs.failed} died` : !result ? `${glyphs.running} running` : result.ok ? `${glyphs.ran} done` : `${glyphs.failed} exit code ${result.exitCode}`;
  const took = startedAt ? ` ${glyphs.dot} ${durationText(Math.max(0, endMs - Date.parse(startedAt)))}` : '';
  return (
    <Text wrap="truncate">
      <Text bold>{name}</Text>
      <Text dimColor>
        {' '}
        {glyphs.dot} {watched.id.slice(0, 15)} {glyphs.dot}{' '}
      </Text>
      <Text {...paint(state.terminal, watched.lost || result?.ok === false ? 'bad' : result ? 'good' : 'busy')}>{how}</Text>
      <Text dimColor>
        {' '}
        {glyphs.dot} {ended}/{total} steps{took} {glyphs.dot} {watched.state.command ?? ''}
      </Text>
    </Text>
  );
}

function Said({ state }: { readonly state: UiState }) {
  const { message } = state;
  const { filter } = placeOf(state);
  if (message)
    return (
      <Text wrap="truncate" {...paint(state.terminal, message.tone === 'info' ? undefined : message.tone)}>
        {message.text}
      </Text>
    );
  return <Text dimColor>{filter === '' ? ' ' : `filter: ${filter} (esc clears it)`}</Text>;
}

/** This screen's keys, as many as fit, then the ones that always work. */
function Keys({ state }: { readonly state: UiState }) {
  const own = screenNamed(state.screen).keys.map(({ key, help }) => `${key} ${help}`);
  return (
    <Text dimColor wrap="truncate">
      {[': all actions', '? help', ...own].join('  ')}
    </Text>
  );
}
